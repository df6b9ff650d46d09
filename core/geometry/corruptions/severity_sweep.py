"""How corruptions push images towards, and across, the boundary of their class.

For the true class y of an image let m_k = f_y - f_k. The signed distance of an image x to the boundary of the region
of y, to first order, is

    min_{k != y} m_k(x) / ||grad m_k(x)||,

positive while the image is classified correctly, negative afterwards. For affine logits it is the distance itself
inside the region; outside, it is the distance to the furthest of the planes to be crossed, a lower bound. It costs one
gradient per class where a boundary point (`core.geometry.boundary.deepfool`) takes dozens; see there for the error of
linearisation.

Accuracies have 95 % intervals for the population that the images are a sample of.

References: Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016 (arXiv 1511.04599), its first step. Wilson, Probable
inference, the law of succession, and statistical inference, JASA 22, 1927.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin, length
from core.geometry.common.intervals import wilson
from core.geometry.corruptions.corruptions import CORRUPTIONS, WORST, corrupt
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Batches, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_MOST_VALUES = 1 << 22  # pixels of a chunk: 27 images of 3 x 224 x 224, for each of which a graph is kept


@dataclass(frozen=True, kw_only=True, eq=False)
class SeveritySweep(ClassifierResult):
    """Accuracy and signed distance by corruption and severity."""

    names: np.ndarray = quantity("", "corruption")
    severities: np.ndarray = quantity("", "severity")
    strength: np.ndarray = quantity("", "corruption severity")  # in the corruption's own unit
    accuracy: np.ndarray = quantity("", "corruption severity")
    accuracy_low: np.ndarray = quantity("", "corruption severity")  # Wilson's 95 % interval
    accuracy_high: np.ndarray = quantity("", "corruption severity")
    distance: np.ndarray = quantity("ℓ2 pixel", "corruption severity n")  # signed; NaN where undefined
    predicted: np.ndarray = quantity("", "corruption severity n")  # -1 where a logit is not finite: not correct
    displacement: np.ndarray = quantity("ℓ2 pixel", "corruption severity n")  # of the corrupted from the clean image
    labels: np.ndarray = quantity("", "n")
    seed: int = quantity("")

    @property
    def median_distance(self) -> np.ndarray:
        """The median signed distance by corruption and severity, of images that have one: (corruption, severity)."""
        known = np.ma.masked_invalid(self.distance)
        median: np.ndarray = np.ma.median(known, axis=2).filled(np.nan)  # type: ignore[no-untyped-call]
        return median

    def quantile(self, share: float) -> np.ndarray:
        """The signed distance that this share of images does not exceed, of those that have one.

        Args:
            share: 0.5 for a middle one.

        Returns:
            (corruption, severity) values of an image each; NaN where no image has a distance.
        """
        ordered = np.sort(self.distance, axis=2)  # NaN last
        count = (~np.isnan(self.distance)).sum(2, keepdims=True)
        place = np.ceil(share * count).astype(np.int64).clip(1, ordered.shape[2]) - 1
        return np.take_along_axis(ordered, place, 2)[..., 0]

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Accuracy and distance on clean images and at the strongest severity."""
        for column in sorted({int(np.argmin(self.severities)), int(np.argmax(self.severities))}):
            severity = float(self.severities[column])
            for row, label in enumerate(
                self.names if severity else self.names[:1]
            ):  # clean images are the same for all
                at = row, column
                interval = float(self.accuracy_low[at]), float(self.accuracy_high[at])
                where = f"{label}, severity {severity:g}" if severity else "clean images"
                name = f"accuracy, {where}" if severity else f"accuracy on {where}"
                yield Number(name=name, value=float(self.accuracy[at]), interval=interval)
                yield Number(
                    name=f"median signed distance, {where}", value=float(self.median_distance[at]), unit="ℓ2 pixel"
                )


@counted
def severity_sweep(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    names: Sequence[str],
    *,
    severities: Sequence[float] = (0, 1, 2, 3, 4, 5),
    candidates: int = 9,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SeveritySweep:
    """Measure accuracy and signed distance to the boundary along corruptions of growing severity.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: values in [0, 1].
        labels: the true class of each.
        names: names of corruptions, see `core.geometry.corruptions.corruptions.CORRUPTIONS`.
        severities: from 0, the clean image, to 5.
        candidates: number of other classes in the distance: those with the largest logits; 9 cover 10 classes.
        seed: seed of the corruptions.
        on_progress: called with the fraction done.

    Returns:
        Accuracies with intervals, distances and predictions; the clean images are measured once.

    Raises:
        ValueError: if there is no image, corruption or severity, one of them is not known, or a label is missing.
        ImageError: if an image does not fit the classifier or is not in [0, 1].
    """
    unknown = [name for name in names if name not in CORRUPTIONS]
    if not names or unknown:
        came = unknown[0][:40] if unknown else "none"
        raise ValueError(f"expected corruptions out of {', '.join(CORRUPTIONS)}, got {came}")
    if not severities or not all(0 <= severity <= WORST for severity in severities):
        raise ValueError(f"expected severities from 0 to {WORST:g}, got {list(severities)}")
    if candidates < 1:
        raise ValueError(f"expected at least one other class to look at, got {candidates}")
    with engine_mode(classifier.device):
        margin = SignedMargin(classifier)
        pixels = classifier.accept(images).to(margin.dtype).clone()
        truth = true_classes(labels, classifier, len(pixels))
        candidates = min(candidates, classifier.num_classes - 1)
        every = torch.arange(len(pixels), device=pixels.device)
        batches = Batches(max(1, min(classifier.batches().size, len(pixels), _MOST_VALUES // pixels[0].numel())))
        cells = [(name, severity) for name in names for severity in severities]
        measured = dict.fromkeys((name if severity else "", severity) for name, severity in cells)
        found: dict[tuple[str, float], np.ndarray] = {}
        for done, (name, severity) in enumerate(measured):

            def measure(rows: Tensor, name: str = name or names[0], severity: float = severity) -> Tensor:
                corrupted = corrupt(pixels[rows], name, severity, seed)
                predicted, distance = _signed_distance(margin, corrupted, truth[rows], candidates)
                displacement = length(corrupted - pixels[rows], 2)
                return torch.stack([predicted.double(), distance.double(), displacement.double()], 1)

            tick = part_of(on_progress, done / len(measured), (done + 1) / len(measured))
            found[name, severity] = batches(measure, every, tick).cpu().numpy()
    values = np.stack([found[name if severity else "", severity] for name, severity in cells])
    predicted, distance, displacement = np.moveaxis(values.reshape(len(names), len(severities), -1, 3), 3, 0)
    correct = predicted == truth.cpu().numpy()
    low, high = wilson(correct.sum(2), len(truth))
    return SeveritySweep(
        names=np.array(names),
        severities=np.array(severities, np.float64),
        strength=np.array([[CORRUPTIONS[name].strength(severity) for severity in severities] for name in names]),
        accuracy=correct.mean(2),
        accuracy_low=low,
        accuracy_high=high,
        distance=distance,
        predicted=predicted.astype(np.int32),
        displacement=displacement,
        labels=truth.to(torch.int32).cpu().numpy(),
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def true_classes(labels: Int[Tensor, " n"], classifier: Classifier, count: int) -> Int[Tensor, " n"]:
    """Check labels.

    Args:
        labels: class indices.
        classifier: the classifier of these classes.
        count: number of images.

    Returns:
        The labels, int64, on the classifier's device.

    Raises:
        ValueError: if there is none, or not one known class per image.
    """
    if not count or len(labels) != count:
        raise ValueError(f"expected at least one image and a label for each, got {count} and {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classifier.num_classes:
        raise ValueError(
            f"expected true classes from 0 to {classifier.num_classes - 1}, got {low} to {high}; leave out images "
            "whose class is not known"
        )
    return labels.to(classifier.device, torch.int64)


def _signed_distance(margins: SignedMargin, images: Tensor, labels: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """The predicted class and the smallest margin over its slope; NaN where that is undefined."""
    logits = margins.logits(images)
    defined = torch.isfinite(logits).all(1)
    others = logits.scatter(1, labels[:, None], -torch.inf).topk(candidates, 1).indices
    nearest = torch.full_like(logits[:, 0], torch.inf)
    for margin, slope in margins.class_margins(images, labels, others):
        steepness = length(slope, 2)
        flat = torch.where(margin > 0, torch.inf, torch.nan)
        nearest = nearest.minimum((margin / steepness).where(steepness > 0, flat))  # keeps NaN
    known = defined & torch.isfinite(nearest)
    return logits.argmax(1).where(defined, -1), nearest.where(known, torch.nan)
