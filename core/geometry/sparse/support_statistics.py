"""Statistics of the supports of many images: where they lie, what predicts them, and how unique they are.

The support of a sparse perturbation is the set of pixels that it changes. Over the N images for which one was found:

- frequency F_p = share of supports that hold pixel p, with Wilson's interval; weighted, each support counts 1 / its
  size, so that images which few pixels flip do not vanish beside those that take many;
- z_p: by how many standard deviations F_p differs from that of random supports of the same sizes. With 1024 pixels some
  z is large by chance: `z_limit` is what the largest |z| of the image stays below in 95 % of draws of random supports;
- prediction of a support by the gradient, and by the capacity, each with what chance gives;
- stability: the mean IoU of supports of the same image by another method, and by the same one begun at another point
  beside the image, with chance. Supports are not unique: what differs between runs is no property of the image.

A map of positions is meaningful only for aligned images, such as digits and faces. For other photographs, the
brightness and local contrast under the pixels, as quantiles within the image, are what can be compared.

Reference: the claim that perturbed pixels fall on features a class relies on and are shared between images is that of
Modas, Moosavi-Dezfooli, Frossard, SparseFool, CVPR 2019 (arXiv 1811.02248).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.common.intervals import wilson
from core.geometry.sparse import support_overlap
from core.geometry.sparse.box_solver import SparseOrder
from core.geometry.sparse.saliency import PREDICTORS, bright_part, picture_maps, predictions
from core.geometry.sparse.sparse_perturbation import Method, SparsePerturbation, sparse_perturbation
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, per_sample, quantity
from core.runtime.batches import Batches, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_CERTAIN = 0.95
_LIMITS = 64
_WORDS: Mapping[Method, str] = {"sparsefool": "SparseFool", "sigma_zero": "sigma-zero"}
_MOST_VALUES = 1 << 22  # pixels of a chunk, for each of which there is a gradient


@dataclass(frozen=True, kw_only=True, eq=False)
class SupportStatistics(ClassifierResult):
    """Statistics of supports; NaN where undefined, as for an image without a support."""

    support: np.ndarray = quantity("", "n y x")
    found: np.ndarray = quantity("", "n", words="images flipped")
    pixels: np.ndarray = quantity("pixel", "n", words="pixels changed")
    entries: np.ndarray = quantity("value", "n", words="values changed")
    source_class: np.ndarray = quantity("", "n")
    target_class: np.ndarray = quantity("", "n")  # -1 where not found
    frequency: np.ndarray = quantity("", "y x")  # of those found
    frequency_low: np.ndarray = quantity("", "y x")
    frequency_high: np.ndarray = quantity("", "y x")
    weighted: np.ndarray = quantity("", "y x")  # each support counts 1 / its size; adds up to 1
    z: np.ndarray = quantity("standard deviation", "y x")
    z_limit: float = quantity("standard deviation")
    classes: np.ndarray = quantity("", "class")  # that images came from or went to
    went: np.ndarray = quantity("", "source target")  # how many went from one of `classes` to another
    class_count: np.ndarray = quantity("", "class")  # images of each, found or not
    limit: np.ndarray = quantity("pixel", "limit")
    flipped: np.ndarray = quantity("", "limit")  # share of all images flipped by at most this many pixels
    flipped_low: np.ndarray = quantity("", "limit")
    flipped_high: np.ndarray = quantity("", "limit")
    flipped_by_class: np.ndarray = quantity("", "class limit")
    predictors: np.ndarray = quantity("", "predictor")  # words of `saliency.PREDICTORS`
    precision: np.ndarray = quantity("", "predictor n")  # share of the support among as many largest scores
    precision_chance: np.ndarray = quantity("", "n", words="precision by chance")
    iou: np.ndarray = quantity("", "predictor n")  # of the support and as many largest scores
    iou_chance: np.ndarray = quantity("", "n")
    auc: np.ndarray = quantity("", "predictor n")  # by chance 1/2
    rank_correlation: np.ndarray = quantity("", "predictor n")  # with the reliance, on the support; by chance 0
    deciles: np.ndarray = quantity("", "predictor decile")  # mean share of a support in each tenth of the scores
    deciles_chance: np.ndarray = quantity("", "predictor decile")  # the same share of all pixels
    bright: np.ndarray = quantity(
        "", "n", words="share of the support on bright pixels"
    )  # share of the support nearer to the image's brightest value than darkest
    bright_chance: np.ndarray = quantity("", "n", words="the same by chance")
    runs: np.ndarray = quantity("", "run")  # what the supports are compared with: words
    agreement: np.ndarray = quantity("", "run other_run")  # mean IoU over images found by both
    agreement_chance: np.ndarray = quantity("", "run other_run")
    same_class_iou: float = quantity("", words="IoU of images of one class")  # mean over pairs of images
    other_class_iou: float = quantity("", words="IoU of images of two classes")
    image_chance_iou: float = quantity("", words="IoU of two images, by chance")
    method: str = quantity("")
    order: str = quantity("")
    bound: float = quantity("pixel")
    draws: int = quantity("")
    seed: int = quantity("")

    @property
    def stability(self) -> float:
        """The mean IoU of two different runs on the same image; NaN with one run."""
        return _off_diagonal(self.agreement)

    @property
    def stability_chance(self) -> float:
        """The same for random supports of the same sizes."""
        return _off_diagonal(self.agreement_chance)

    def map_of(self, source: int | None = None, target: int | None = None) -> tuple[np.ndarray, int]:
        """The frequency map of the images of one class, of those that went to one class, or of an ordered pair.

        Args:
            source: class that the images came from; None for any.
            target: class that they went to; None for any.

        Returns:
            (y, x), NaN where there is no such image, and how many images it is of.
        """
        rows = self.found & True
        rows &= True if source is None else self.source_class == source
        rows &= True if target is None else self.target_class == target
        return _frequency(self.support[rows]), int(rows.sum())

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Sizes of the supports, how well each score of pixels predicts them, and how far supports are shared."""
        yield from self.quoted("found", "pixels", "entries")
        for index, label in enumerate(self.predictors):
            yield Number(name=f"precision of {label}", value=per_sample(self.precision[index]))
            yield Number(name=f"AUC of {label}", value=per_sample(self.auc[index]))
        yield from self.quoted(
            "precision_chance",
            "bright",
            "bright_chance",
            "stability:IoU of two runs",
            "stability_chance:IoU of two runs, by chance",
            "same_class_iou",
            "other_class_iou",
            "image_chance_iou",
        )


@counted
def support_statistics(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    method: Method = "sparsefool",
    order: SparseOrder = "pixel",
    bound: float = 1.0,
    seeds: int = 2,
    draws: int = 1000,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SupportStatistics:
    """Find the supports of images and their statistics.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: values in [0, 1]; of one shape, for maps of positions aligned.
        method: "sparsefool" or "sigma_zero"; the other one is the first that stability is measured against.
        order: of SparseFool, see `core.geometry.sparse.sparse_perturbation`.
        bound: largest change of each value.
        seeds: number of runs of the method, each from another start near the image; the first, from the image itself,
            is the one that all other statistics describe.
        draws: draws of random supports, for `z_limit`.
        seed: seed of the random supports.
        on_progress: called with the fraction done.

    Returns:
        The supports and their statistics.

    Raises:
        ValueError: if there is no image, or an option is not one of those above.
        ImageError: if an image does not fit the classifier or is not in [0, 1].

    Reference:
        Modas, Moosavi-Dezfooli, Frossard, SparseFool, CVPR 2019.
    """
    if seeds < 1 or draws < 1:
        raise ValueError(f"expected at least one seed and one draw, got {seeds} and {draws}")
    pixels = classifier.accept(images)
    other: Method = "sigma_zero" if method == "sparsefool" else "sparsefool"
    plans: list[tuple[str, Method, int]] = [(_WORDS[method], method, 0), (_WORDS[other], other, 0)]
    plans += [(f"{_WORDS[method]}, seed {number}", method, number) for number in range(1, seeds)]
    runs: dict[str, SparsePerturbation] = {}
    for place, (name, chosen, start) in enumerate(plans):
        runs[name] = sparse_perturbation(
            classifier,
            pixels,
            method=chosen,
            order=order,
            unit=unit_of(order),
            bound=bound,
            seed=start,
            on_progress=part_of(on_progress, place / len(plans), (place + 1) / len(plans)),
        )
    steepness = _steepness(classifier, pixels, runs[_WORDS[method]].source_class)
    return SupportStatistics(
        **statistics(runs, pixels.cpu().double().numpy(), steepness, draws=draws, seed=seed),
        method=method,
        order=order,
        bound=bound,
        draws=draws,
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def unit_of(order: SparseOrder) -> Literal["pixel", "entry"]:
    """The unit of sigma-zero that corresponds to an order of SparseFool: pixels, or single entries."""
    return "pixel" if order == "pixel" else "entry"


def _steepness(classifier: Classifier, images: Float[Tensor, "n c h w"], source: np.ndarray) -> np.ndarray:
    """The length of the margin's gradient at each pixel, (n, y, x), 0 where it is undefined."""
    with engine_mode(classifier.device):
        margin = SignedMargin(classifier)
        pixels = images.to(margin.dtype).clone()
        classes = torch.as_tensor(source, dtype=torch.int64, device=pixels.device).clamp(min=0)
        size = max(1, min(classifier.batches().size, len(pixels), _MOST_VALUES // pixels[0].numel()))

        def ask(rows: Tensor) -> Tensor:
            lengths: Tensor = margin.slope(pixels[rows], classes[rows]).gradient.norm(dim=1)
            return lengths

        found = Batches(size)(ask, torch.arange(len(pixels), device=pixels.device))
    steepness: np.ndarray = np.nan_to_num(found.cpu().double().numpy(), posinf=0.0)
    return steepness


def statistics(
    runs: Mapping[str, SparsePerturbation], images: np.ndarray, steepness: np.ndarray, *, draws: int, seed: int
) -> dict[str, Any]:
    """The fields of `SupportStatistics` that follow from perturbations found before.

    Args:
        runs: perturbations of the same images by name; the statistics are of the first, the others are compared.
        images: (n, c, y, x).
        steepness: (n, y, x) length of the margin's gradient at each pixel.
        draws: draws of random supports.
        seed: seed of the draws.

    Returns:
        Arrays and numbers by field.
    """
    first = next(iter(runs.values()))
    support = first.heatmap()
    agreement, chance = agreements(list(runs.values()))
    for each in (agreement, chance):
        np.fill_diagonal(each, 1.0)
    return {
        "support": support,
        "found": first.found,
        "pixels": first.pixels,
        "entries": first.entries,
        "source_class": first.source_class,
        "target_class": np.where(first.found, first.target_class, -1),
        **_positions(support[first.found], draws, seed),
        **_classes_of(first),
        **_robustness(first),
        **_under(first, images, support, steepness),
        "runs": np.array(list(runs)),
        "agreement": agreement,
        "agreement_chance": chance,
        **_sharing(support[first.found], first.source_class[first.found]),
    }


def flat(support: np.ndarray) -> np.ndarray:
    """Supports (n, y, x) as rows of pixels; n may be 0."""
    return support.reshape(len(support), math.prod(support.shape[1:]))


def _frequency(support: np.ndarray) -> np.ndarray:
    """The share of supports (n, y, x) that hold each pixel; NaN without any."""
    return support.mean(0) if len(support) else np.full(support.shape[1:], np.nan)


def _positions(support: np.ndarray, draws: int, seed: int) -> dict[str, Any]:
    """Where the supports lie, and how surprising that is."""
    marks = flat(support)
    sizes, counts = marks.sum(1), support.sum(0)
    low, high = wilson(counts, len(support))
    strayed = support_overlap.largest_deviations(sizes, marks.shape[1], draws, seed)
    weighted = (support / np.maximum(sizes, 1)[:, None, None]).sum(0) / max(1, len(support))
    return {
        "frequency": _frequency(support),
        "frequency_low": low,
        "frequency_high": high,
        "weighted": weighted if len(support) else np.full(support.shape[1:], np.nan),
        "z": support_overlap.deviation(counts, sizes, marks.shape[1]),
        "z_limit": float(np.quantile(strayed, _CERTAIN)),
    }


def _classes_of(first: SparsePerturbation) -> dict[str, Any]:
    """How many images went from which class to which."""
    source, target = first.source_class[first.found], first.target_class[first.found]
    classes = np.unique(np.concatenate([first.source_class[first.source_class >= 0], target]))
    went = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(went, (np.searchsorted(classes, source), np.searchsorted(classes, target)), 1)
    return {
        "classes": classes.astype(np.int32),
        "went": went,
        "class_count": (first.source_class == classes[:, None]).sum(1),
    }


def _robustness(first: SparsePerturbation) -> dict[str, Any]:
    """The share of images flipped by at most k pixels; an image without a perturbation is never flipped."""
    taken = np.where(first.found, first.pixels, np.inf)
    most = float(taken[first.found].max(initial=1.0))
    limit = np.arange(1, most + 1) if most <= _LIMITS else np.unique(np.rint(np.geomspace(1, most, _LIMITS)))
    flips = taken[:, None] <= limit
    low, high = wilson(flips.sum(0), len(flips))
    classes = _classes_of(first)["classes"]
    member = first.source_class == classes[:, None]
    count = member.sum(1, keepdims=True)
    return {
        "limit": limit,
        "flipped": flips.mean(0),
        "flipped_low": low,
        "flipped_high": high,
        "flipped_by_class": np.where(count > 0, member @ flips.astype(float) / np.maximum(count, 1), np.nan),
    }


def _under(first: SparsePerturbation, images: np.ndarray, support: np.ndarray, steepness: np.ndarray) -> dict[str, Any]:
    """How well maps predict the supports, and how much of these lies on the bright part of their images."""
    brightness, contrast = picture_maps(images)
    maps = (steepness, first.capacity, first.capacity_at_boundary, brightness, contrast)
    bright = bright_part(brightness)
    sizes = support.sum((1, 2))
    return {
        "predictors": np.array(PREDICTORS),
        **predictions(maps, support, first.reliance),
        "bright": (support & bright).sum((1, 2)) / np.where(sizes > 0, sizes, np.nan),
        "bright_chance": np.where(sizes > 0, bright.mean((1, 2)), np.nan),
    }


def agreements(runs: Sequence[SparsePerturbation]) -> tuple[np.ndarray, np.ndarray]:
    """How far every two runs agree on the same image.

    Args:
        runs: perturbations of the same images.

    Returns:
        (r, r) the mean IoU of the supports over the images found by both, and the same by chance.
    """
    marks = [flat(run.heatmap()) for run in runs]
    sizes = [each.sum(1) for each in marks]
    agreement, chance = np.full((2, len(marks), len(marks)), np.nan)
    for one, other in np.ndindex(agreement.shape):
        both = (sizes[one] > 0) & (sizes[other] > 0)
        agreement[one, other] = mean(support_overlap.iou(marks[one][both], marks[other][both]))
        expected = support_overlap.chance_iou(sizes[one][both], sizes[other][both], marks[one].shape[1])
        chance[one, other] = mean(expected)
    return agreement, chance


def _sharing(support: np.ndarray, source: np.ndarray) -> dict[str, Any]:
    """How far the supports of different images agree: of one class, of two, and by chance."""
    marks = flat(support)
    sizes = marks.sum(1)
    shared, expected = (
        support_overlap.pairwise_iou(marks),
        support_overlap.chance_iou(sizes[:, None], sizes, marks.shape[1]),
    )
    pairs = np.triu(np.ones(shared.shape, bool), 1)
    alike = source[:, None] == source
    return {
        "same_class_iou": mean(shared[pairs & alike]),
        "other_class_iou": mean(shared[pairs & ~alike]),
        "image_chance_iou": mean(expected[pairs]),
    }


def mean(values: np.ndarray) -> float:
    """The mean of the values that are known; NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _off_diagonal(matrix: np.ndarray) -> float:
    return mean(matrix[~np.eye(len(matrix), dtype=bool)])
