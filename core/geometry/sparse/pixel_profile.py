"""The margin along one pixel: one channel, or all channels, runs from 0 to 1.

For an image x of class s, a pixel p and a channel c, the curve t -> F(x with x[c, p] = t), with the signed margin
F = f_s - max_{k != s} f_k, is an exact one-dimensional slice: where it is negative, changing this entry alone changes
the class. On the last line all channels of the pixel take the same value, as in a grey image. Corners of the colour
cube off these lines are not tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelProfile(ClassifierResult):
    """Margin and class along each channel of one pixel, and along grey; NaN and -1 where a logit is not finite."""

    value: np.ndarray = quantity("pixel", "value")
    margin: np.ndarray = quantity("logit", "line value")
    label: np.ndarray = quantity("", "line value")
    lines: tuple[str, ...] = quantity("")  # "channel 0", ..., and "grey" where there are several
    pixel: np.ndarray = quantity("pixel", "channel")  # as it is in the image
    row: int = quantity("pixel")
    column: int = quantity("pixel")
    source_class: int = quantity("")

    @property
    def decides(self) -> np.ndarray:
        """Which lines leave the class of the image."""
        leaves: np.ndarray = np.any(self.margin < 0, 1)
        return leaves

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The least and the largest margin along each line of the pixel's values."""
        for line, margin in zip(self.lines, self.margin, strict=True):
            known = margin[np.isfinite(margin)]
            yield Number(name=f"least margin, {line}", value=known.min() if len(known) else np.nan, unit="logit")
            yield Number(name=f"largest margin, {line}", value=known.max() if len(known) else np.nan, unit="logit")


@counted
def pixel_profile(
    classifier: Classifier, image: Float[Tensor, "c h w"], row: int, column: int, *, resolution: int = 64
) -> PixelProfile:
    """Evaluate the margin while one channel of a pixel goes from 0 to 1 and the others keep their values.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        image: finite pixel values, nominally in [0, 1].
        row: row of the pixel, 0 at the top.
        column: column of the pixel, 0 at the left.
        resolution: values along each line, both ends included.

    Returns:
        The profile; one forward per value and line.

    Raises:
        ValueError: if the pixel is not in the image, or there are fewer than two values.
        ImageError: if the image's shape is not the classifier's, or a value or a logit is not finite.
    """
    channels, height, width = classifier.input_shape
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"expected a pixel within {height} rows and {width} columns, got ({row}, {column})")
    if resolution < 2:
        raise ValueError(f"expected at least two values, got {resolution}")
    clean = classifier.accept(image[None])
    lines = [[channel] for channel in range(channels)] + ([list(range(channels))] if channels > 1 else [])
    batches = classifier.batches()
    with torch.inference_mode():
        values = torch.linspace(0, 1, resolution, dtype=classifier.dtype, device=classifier.device)
        points = clean.expand(1 + len(lines) * resolution, -1, -1, -1).clone()
        for number, line in enumerate(lines):
            part = slice(1 + number * resolution, 1 + (number + 1) * resolution)
            points[part, line, row, column] = values[:, None]
        logits = batches(classifier, points).double()
        if not bool(torch.isfinite(logits[0]).all()):
            raise ImageError("expected finite logits at the image, got NaN or infinity; choose another one")
        source = int(logits[0].argmax())
        finite = torch.isfinite(logits[1:]).all(1)
        others = logits[1:].index_fill(1, torch.tensor([source], device=logits.device), -torch.inf).amax(1)
        margin = (logits[1:, source] - others).where(finite, torch.nan)
        label = logits[1:].argmax(1).where(finite, -1)
    shape = (len(lines), resolution)
    return PixelProfile(
        value=values.double().cpu().numpy(),
        margin=margin.view(shape).cpu().numpy(),
        label=label.view(shape).to(torch.int32).cpu().numpy(),
        lines=tuple("grey" if len(line) > 1 else f"channel {line[0]}" for line in lines),
        pixel=clean[0, :, row, column].double().cpu().numpy(),
        row=row,
        column=column,
        source_class=source,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )
