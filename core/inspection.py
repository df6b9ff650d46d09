"""Inspection: whether a loaded model is a classifier that the geometry can work with, check by check.

Slices, boundaries and curvatures take for granted that an image's logits do not depend on its neighbours in the batch,
that they are finite, and that they can be differentiated in the image. Each of that is tried here once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.classifier import Classifier
from core.errors import CheckpointError
from core.sources import MOST_CLASSES

WIDE_HEAD = 2000  # classes: from here on analyses that look at every class are slow
_ROUNDING = 1e-3  # relative: float32 sums of another order differ by 1e-6 to 1e-4
_SLOW_SECONDS = 0.5  # per image: a slice of 512 x 512 asks about 10,000


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: what.
        verdict: "good", "note" (works, with something to know) or "bad".
        words: what was found, in one sentence.
        seconds: per image, where speed was tried.
    """

    name: str
    verdict: Literal["good", "note", "bad"]
    words: str
    seconds: float = 0.0


def require_classifier(module: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """The number of classes of a module that maps images to logits.

    Args:
        module: in eval mode, on the CPU.
        input_shape: (c, h, w) of one image.

    Raises:
        CheckpointError: if it does something else, with what it does and how to mend it.
    """
    grey = torch.zeros(2, *input_shape)
    try:
        with torch.inference_mode():
            given: Any = module(grey)
    except Exception as error:  # whatever the code of a model raises for images that it was not made for
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"expected a model that takes images of {_by(input_shape)}, it raised {type(error).__name__}: {reason}; "
            "give the size it was made for, as size=..."
        ) from error
    if isinstance(given, Tensor) and given.ndim == 2 and len(given) == 2 and 2 <= given.shape[1] <= MOST_CLASSES:
        return int(given.shape[1])
    raise CheckpointError(f"expected one row of logits per image, the model gives {_kind(given)}")


def _kind(given: Any) -> str:
    """What a model gives instead of logits, and what to do about it."""
    if isinstance(given, Tensor):
        shape = _by(tuple(given.shape[1:]))
        if given.ndim == 4:
            return f"a map of {shape} per image, as for segmentation or features; pool it into one row of logits"
        if given.ndim == 2 and given.shape[1] == 1:
            return "one number per image; wrap it so that it gives two logits, such as -z/2 and z/2"
        if given.ndim == 2:
            return (
                f"{given.shape[1]:,} numbers per image, more than any data set has classes; is it a feature extractor?"
            )
        return f"{shape} numbers for each of two images; reshape it into one row of logits"
    if isinstance(given, Mapping):
        names = ", ".join(str(name)[:30] for name in list(given)[:6])
        return f"several outputs by name ({names}); wrap it so that it returns the logits alone"
    if isinstance(given, tuple | list):
        return f"{len(given)} outputs; wrap it so that it returns the logits alone"
    return f"a {type(given).__name__}; wrap it so that it returns a tensor of logits"


def inspect(classifier: Classifier) -> tuple[Check, ...]:
    """Try everything that the geometry relies on; about ten forwards.

    Args:
        classifier: a loaded one.

    Returns:
        The checks, in the order in which a reader wants them.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *classifier.input_shape, generator=generator).to(classifier.device, classifier.dtype)
    with torch.inference_mode():
        together = classifier(images)
        alone = torch.cat([classifier(image[None]) for image in images])
    return (
        _count(classifier),
        _finite(together),
        _rows(together, alone),
        _mode(classifier),
        _first(classifier, images[:1]),
        _second(classifier, images[:1]),
        _latency(classifier),
    )


def _count(classifier: Classifier) -> Check:
    count = classifier.num_classes
    if count >= WIDE_HEAD:
        words = f"{count:,}: a wide head; slices keep the classes they meet, but what looks at every class is slow."
        return Check("classes", "note", words)
    return Check("classes", "good", f"{count:,}.")


def _finite(logits: Tensor) -> Check:
    if bool(torch.isfinite(logits).all()):
        return Check("finite logits", "good", f"From {float(logits.min()):.3g} to {float(logits.max()):.3g} on noise.")
    return Check("finite logits", "bad", "NaN or infinity on noise: the weights or the normalisation are wrong.")


def _rows(together: Tensor, alone: Tensor) -> Check:
    scale = float(together.abs().max()) or 1.0
    off = float((together - alone).abs().max()) / scale
    words = f"One image alone and among three: logits differ by {off:.1g} of the largest."
    if off <= _ROUNDING:
        return Check("rows do not mix", "good", words)
    return Check("rows do not mix", "bad", f"{words} The batch changes the answer, so no boundary is defined.")


def _mode(classifier: Classifier) -> Check:
    training = sum(part.training for part in classifier.module.modules())
    learning = sum(parameter.requires_grad for parameter in classifier.module.parameters())
    if training or learning:
        return Check("frozen", "bad", f"{training} parts in training mode, {learning} weights that keep gradients.")
    return Check("frozen", "good", "Evaluation mode, and no weight keeps a gradient.")


def _first(classifier: Classifier, image: Tensor) -> Check:
    try:
        slope = _slope(classifier, image.clone().requires_grad_(), create_graph=False)
    except RuntimeError as error:
        return Check("gradients", "bad", f"None in the image: {str(error)[:100]}.")
    if not bool(torch.isfinite(slope).all()):
        return Check("gradients", "bad", "NaN or infinity in the image.")
    if not bool(slope.any()):
        return Check("gradients", "bad", "Zero everywhere: the logits do not see the image.")
    return Check("gradients", "good", "There, finite, and not zero.")


def _second(classifier: Classifier, image: Tensor) -> Check:
    point = image.clone().requires_grad_()
    name = "second derivatives"
    try:
        slope = _slope(classifier, point, create_graph=True)
        if not slope.requires_grad:
            return Check(name, "note", "Zero: piecewise linear, so curvature needs a scale.")
        bends = torch.autograd.grad((slope * slope.detach()).sum(), point, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        return Check(name, "note", f"None, so there is no curvature: {str(error)[:100]}.")
    bend = bends[0]
    if not bool(bend.any()):
        return Check(name, "note", "Zero: piecewise linear, so curvature needs a scale.")
    if not bool(torch.isfinite(bend).all()):
        return Check(name, "note", "NaN or infinity, so there is no curvature.")
    return Check(name, "good", "There, and finite.")


def _slope(classifier: Classifier, image: Tensor, *, create_graph: bool) -> Tensor:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
        two = classifier(image)[0].topk(2).values
        (slope,) = torch.autograd.grad(two[0] - two[1], image, create_graph=create_graph)
    return slope


def seconds_per_image(classifier: Classifier) -> tuple[float, float]:
    """How long a forward takes for one image, and for each among 16.

    Args:
        classifier: a loaded one.

    Returns:
        Seconds, the shorter of two tries each.
    """
    image = torch.full((1, *classifier.input_shape), 0.5, device=classifier.device, dtype=classifier.dtype)
    many = image.expand(16, -1, -1, -1).contiguous()
    took = []
    with torch.inference_mode():
        for batch in (image, many):
            fastest = float("inf")
            for _ in range(2):
                begin = time.perf_counter()
                classifier(batch).cpu()
                fastest = min(fastest, time.perf_counter() - begin)
            took.append(fastest / len(batch))
    return took[0], took[1]


def _latency(classifier: Classifier) -> Check:
    took = seconds_per_image(classifier)
    words = f"{1e3 * took[0]:.3g} ms for one image, {1e3 * took[1]:.3g} ms each among 16, on {classifier.device}."
    slow = min(took) > _SLOW_SECONDS
    words += " Choose a small resolution." if slow else ""
    return Check("speed", "note" if slow else "good", words, min(took))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
