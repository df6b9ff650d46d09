"""Accuracy under white noise: forecast from the geometry at the clean image, and measured.

With J the Jacobian of the logits at an image x, noise of standard deviation s moves the linearised logits to

    f(x) + s J n,    n ~ N(0, 1) for every value,

so that all class boundaries near x, with their angles to each other, take part in the forecast: the share of draws in
which the true class still wins. (One flat boundary at distance d alone would give Phi(d / s), which is wrong already
for affine logits of more than two classes.) The measured share puts x + s n through the classifier, unclipped, with the
same n. For affine logits both are the same, draw by draw; what differs is the curvature of the logits at the scale s.

Reference: Fawzi, Moosavi-Dezfooli, Frossard, Robustness of classifiers: from adversarial to random noise, NeurIPS 2016
(arXiv 1608.08967), where the boundaries are those of two classes at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.common.random_streams import Stream
from core.geometry.corruptions.severity_sweep import true_classes
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Batches, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

_MOST_VALUES = 1 << 22  # pixels of a chunk, for each of which there is one gradient per class


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseForecast(ClassifierResult):
    """The share of noise draws in which each image is classified correctly; NaN where a gradient is not finite."""

    deviations: np.ndarray = quantity("standard deviation of a pixel", "deviation")
    forecast: np.ndarray = quantity("", "n deviation", words="share correct, forecast")  # by linearised logits
    measured: np.ndarray = quantity("", "n deviation", words="share correct, measured")
    disagreement: np.ndarray = quantity(
        "", "n deviation", words="share unlike the linearised model"
    )  # share of draws with another class than the linearised one
    labels: np.ndarray = quantity("", "n")
    draws: int = quantity("")
    seed: int = quantity("")

    @property
    def forecast_accuracy(self) -> np.ndarray:
        """The mean forecast of images that have one: (deviation,)."""
        return self._mean(self.forecast)

    @property
    def measured_accuracy(self) -> np.ndarray:
        """The mean measured share of the same images: (deviation,)."""
        return self._mean(self.measured)

    @property
    def gap(self) -> np.ndarray:
        """Measured minus forecast accuracy: (deviation,); 0 for affine logits."""
        gap: np.ndarray = self.measured_accuracy - self.forecast_accuracy
        return gap

    def _mean(self, shares: np.ndarray) -> np.ndarray:
        known = ~np.isnan(self.forecast[:, 0])
        if not known.any():
            return np.full(len(self.deviations), np.nan)
        mean: np.ndarray = shares[known].mean(0)
        return mean

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """What was forecast and measured at each standard deviation."""
        yield from self.quoted(
            "forecast",
            "measured",
            "disagreement",
            columns=[f"standard deviation {value:.3g}" for value in self.deviations],
        )


@counted
def noise_forecast(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    deviations: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4),
    *,
    draws: int = 32,
    candidates: int = 9,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> NoiseForecast:
    """Forecast how often images are classified correctly under white noise, and measure it.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1]; noise is not clipped to that range.
        labels: the true class of each.
        deviations: standard deviations of the noise.
        draws: draws of noise for each image, the same for all deviations.
        candidates: number of other classes in the forecast: those with the largest logits at the image.
        seed: seed of the noise.
        on_progress: called with the fraction done.

    Returns:
        Shares by image and deviation; `gradients` counts one per class and image.

    Raises:
        ValueError: if there is no image, draw or candidate, a deviation is not positive, or a label is missing.
        ImageError: if an image does not fit the classifier or is not finite.
    """
    if draws < 1 or candidates < 1:
        raise ValueError(f"expected at least one draw and one other class, got {draws} and {candidates}")
    if not deviations or not all(0 < deviation < math.inf for deviation in deviations):
        raise ValueError(f"expected positive standard deviations, got {list(deviations)}")
    with engine_mode(classifier.device):
        margin = SignedMargin(classifier)
        pixels = classifier.accept(images).to(margin.dtype).clone()
        truth = true_classes(labels, classifier, len(pixels))
        candidates = min(candidates, classifier.num_classes - 1)
        size = max(1, min(classifier.batches().size, len(pixels), _MOST_VALUES // pixels[0].numel()))

        def measure(rows: Tensor) -> Tensor:
            """(n, 3, deviations) forecast, measured share and disagreement of these images, float64."""
            images, own = pixels[rows], truth[rows]
            logits = margin.logits(images)
            others = logits.scatter(1, own[:, None], -torch.inf).topk(candidates, 1).indices
            each_margin, slopes = zip(*margin.class_margins(images, own, others), strict=True)
            margins, slope = torch.stack(each_margin, 1), torch.stack([each.flatten(1) for each in slopes], 1)
            defined = torch.isfinite(margins).all(1) & torch.isfinite(slope).all(2).all(1)
            counts = torch.zeros(len(images), 3, len(deviations), dtype=torch.float64, device=images.device)
            stream = Stream(images, "white noise", seed)
            for _ in range(draws):
                noise = stream.normal(*images.shape[1:])
                shift = torch.einsum("nkp,np->nk", slope, noise.flatten(1))
                for place, deviation in enumerate(deviations):
                    least, runner_up = (margins + deviation * shift).min(1)
                    expected = own.where(least > 0, others.gather(1, runner_up[:, None])[:, 0])
                    came = margin.logits(images + deviation * noise).argmax(1)
                    counts[:, :, place] += torch.stack([expected == own, came == own, came != expected], 1)
            return (counts / draws).where(defined[:, None, None], torch.nan)

        found = Batches(size)(measure, torch.arange(len(pixels), device=pixels.device), on_progress)
    forecast, measured, disagreement = found.cpu().numpy().transpose(1, 0, 2)
    return NoiseForecast(
        deviations=np.array(deviations, np.float64),
        forecast=forecast,
        measured=measured,
        disagreement=disagreement,
        labels=truth.to(torch.int32).cpu().numpy(),
        draws=draws,
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )
