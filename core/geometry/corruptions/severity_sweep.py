"""How corruptions push images towards, and over, the boundary of their class.

For the true class y of an image let m_k = f_y - f_k. The signed distance of an image x to the boundary of the region
of y, to first order, is

    min_{k != y} m_k(x) / ||grad m_k(x)||,

positive while the image is classified correctly, negative afterwards. Of affine logits it is, inside the region, the
distance itself; outside, that to the furthest of the planes to be crossed, which bounds the distance from below. It
costs one gradient per class where a boundary point (`core.geometry.boundary.deepfool`) takes dozens; see there for what
linearisation leaves out.

Accuracies carry 95 % intervals for the share of all images that these are a sample of.

References: Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016 (arXiv 1511.04599), its first step. Wilson, Probable
inference, the law of succession, and statistical inference, JASA 22, 1927.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin, length
from core.geometry.common.intervals import wilson
from core.geometry.corruptions.corruptions import CORRUPTIONS, WORST, corrupt
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.batches import Batches, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

_MOST_VALUES = 1 << 22  # pixels of a chunk: 27 images of 3 x 224 x 224, for each of which a graph is kept


@dataclass(frozen=True, kw_only=True, eq=False)
class SeveritySweep(Result):
    """Accuracy and signed distance by corruption and severity."""

    names: np.ndarray = quantity("", "corruption")
    severities: np.ndarray = quantity("", "severity")
    strength: np.ndarray = quantity("", "corruption severity")  # in the corruption's own unit
    accuracy: np.ndarray = quantity("", "corruption severity")
    accuracy_low: np.ndarray = quantity("", "corruption severity")  # Wilson's 95 % interval
    accuracy_high: np.ndarray = quantity("", "corruption severity")
    distance: np.ndarray = quantity("ℓ2 pixel", "corruption severity n")  # signed; NaN where nothing says
    predicted: np.ndarray = quantity("", "corruption severity n")  # -1 where a logit is not finite: not correct
    displacement: np.ndarray = quantity("ℓ2 pixel", "corruption severity n")  # of the corrupted from the clean image
    labels: np.ndarray = quantity("", "n")
    seed: int = quantity("")
    num_classes: int = quantity("")
    fingerprint: str = quantity("", default="")

    @property
    def median_distance(self) -> np.ndarray:
        """The median signed distance by corruption and severity, of images that have one: (corruption, severity)."""
        known = ~np.isnan(self.distance)
        filled = np.where(known, self.distance, np.inf)
        ordered, count = np.sort(filled, axis=2), known.sum(2)
        low, high = np.maximum(count - 1, 0) // 2, count // 2
        pair = np.take_along_axis(ordered, np.stack([low, np.minimum(high, ordered.shape[2] - 1)], 2), 2)
        middle: np.ndarray = np.where(count > 0, pair.mean(2), np.nan)
        return middle

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
        found: np.ndarray = np.take_along_axis(ordered, place, 2)[..., 0]
        return found

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
                distance = float(self.median_distance[at])
                yield Number(name=f"median signed distance, {where}", value=distance, unit="ℓ2 pixel")


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
        names: of corruptions, see `core.geometry.corruptions.corruptions.CORRUPTIONS`.
        severities: from 0, the clean image, to 5.
        candidates: how many other classes the distance looks at: those with the largest logits. With the true one, 9
            are the usual 10 classes.
        seed: of the corruptions.
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
        probe = _Probe(classifier, images, labels, candidates, seed)
        cells = [(name, severity) for name in names for severity in severities]
        measured = dict.fromkeys((name if severity else "", severity) for name, severity in cells)
        found: dict[tuple[str, float], np.ndarray] = {}
        for done, (name, severity) in enumerate(measured):

            def tick(part: float, done: int = done) -> None:
                on_progress((done + part) / len(measured))

            found[name, severity] = probe(name or names[0], severity, tick)
    values = np.stack([found[name if severity else "", severity] for name, severity in cells])
    predicted, distance, displacement = np.moveaxis(values.reshape(len(names), len(severities), -1, 3), 3, 0)
    truth = probe.labels.cpu().numpy()
    low, high = wilson((predicted == truth).sum(2), len(truth))
    return SeveritySweep(
        names=np.array(names),
        severities=np.array(severities, np.float64),
        strength=np.array([[CORRUPTIONS[name].strength(severity) for severity in severities] for name in names]),
        accuracy=(predicted == truth).mean(2),
        accuracy_low=low,
        accuracy_high=high,
        distance=distance,
        predicted=predicted.astype(np.int32),
        displacement=displacement,
        labels=truth.astype(np.int32),
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def true_classes(labels: Int[Tensor, " n"], classifier: Classifier, count: int) -> Int[Tensor, " n"]:
    """Check labels at the door.

    Args:
        labels: class indices.
        classifier: whose classes they are.
        count: how many images there are.

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


class _Probe:
    """Class, signed distance and displacement of all images after one corruption."""

    def __init__(self, classifier: Classifier, images: Tensor, labels: Tensor, candidates: int, seed: int) -> None:
        self.margin = SignedMargin(classifier)
        self._images = classifier.accept(images).to(self.margin.dtype).clone()
        self.labels = true_classes(labels, classifier, len(images))
        self._candidates, self._seed = min(candidates, classifier.num_classes - 1), seed
        self._rows = torch.arange(len(images), device=classifier.device)
        self._batches = Batches(max(1, min(classifier.batches().size, len(images), _MOST_VALUES // images[0].numel())))

    def __call__(self, name: str, severity: float, tick: Callable[[float], None]) -> np.ndarray:
        """(n, 3) columns, float64."""

        def measure(rows: Tensor) -> Tensor:
            clean, labels = self._images[rows], self.labels[rows]
            images = corrupt(clean, name, severity, self._seed)
            predicted, distance = self._signed_distance(images, labels)
            return torch.stack([predicted.double(), distance.double(), length(images - clean, 2).double()], 1)

        return self._batches(measure, self._rows, tick).cpu().numpy()

    def _signed_distance(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The predicted class and the smallest margin over its slope; NaN where that is lost or missing."""
        logits = self.margin.logits(images)
        defined = torch.isfinite(logits).all(1)
        others = logits.scatter(1, labels[:, None], -torch.inf).topk(self._candidates, 1).indices
        nearest = torch.full_like(logits[:, 0], torch.inf)
        for margin, slope in self.margin.class_margins(images, labels, others):
            steepness = length(slope, 2)
            flat = torch.where(margin > 0, torch.inf, torch.nan)
            nearest = nearest.minimum((margin / steepness).where(steepness > 0, flat))  # keeps NaN
        known = defined & torch.isfinite(nearest)
        return logits.argmax(1).where(defined, -1), nearest.where(known, torch.nan)
