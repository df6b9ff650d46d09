"""The smallest changes found that change the label of uniformly drawn images, to compare with the limits.

The limits count every image of a format once, so images are drawn uniformly from the grid of levels, and every change
stays on that grid: `core.geometry.limits.minimal_changes` searches for small ones. A witness bounds the distance of its
image from above, so measured survival is an upper estimate of the true one: where it exceeds a limit, the searches were
too weak; it never disproves a theorem.

References: Dai, Gifford, Fundamental limits on the robustness of image classifiers, ICLR 2023, for the limits. Clopper,
Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26, 1934.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import betaincinv
from torch import Tensor, nn

from core.geometry.limits.bounds import MOST_BITS, NORMS, unit_of
from core.geometry.limits.extremal import EXTREMAL, extremal_size
from core.geometry.limits.minimal_changes import Witnesses
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

Partition = Literal["labels", "halved"]
PARTITIONS: tuple[Partition, ...] = get_args(Partition)

_EXEMPT_KEPT = 64  # images of the exempt class that walks may head for
_MOST_VALUES = 1 << 23  # values of the rows that are drawn together


@dataclass(frozen=True, kw_only=True, eq=False)
class Survival(ClassifierResult):
    """The smallest changes found that give uniformly drawn images, and images of a set, another label."""

    counts: np.ndarray = quantity("images", "class")  # of the drawn images, by the label the model gives
    share_low: np.ndarray = quantity("", "class")  # 95 % interval of Clopper and Pearson
    share_high: np.ndarray = quantity("", "class")
    exempt: int = quantity("")  # the class that may hold more than half of all images; -1 where none does
    share: np.ndarray = quantity("", "end")  # of all images, held by the classes that are looked at; NaN: none drawn
    source: np.ndarray = quantity("", "image")  # label of each image that is looked at
    size: np.ndarray = quantity("ℓp pixel", "search image norm")  # of the witness; NaN where none was found
    set_size: np.ndarray = quantity("ℓp pixel", "search photograph norm")
    exhibit_size: np.ndarray = quantity("ℓp pixel", "exhibit drawn norm")  # exact, of `core.geometry.limits.extremal`
    start: np.ndarray = quantity("pixel", "kept c h w")
    witness: np.ndarray = quantity("pixel", "kept c h w")  # the one of fewest changed values
    reached: np.ndarray = quantity("", "kept")  # its label
    norms: tuple[float, ...] = quantity("")
    bits: int = quantity("")
    partition: str = quantity("")
    shape: tuple[int, ...] = quantity("")

    def least(self, norm: float, *, of_set: bool = False) -> np.ndarray:
        """The smallest size that any search found for each image; infinite where none did."""
        sizes = (self.set_size if of_set else self.size)[..., self.norms.index(norm)]
        found: np.ndarray = np.nan_to_num(sizes, nan=np.inf).min(0)
        return found

    @property
    def values(self) -> int:
        """N, the values of an image."""
        return math.prod(self.shape)

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The smallest changes found, and the labels of drawn images."""
        norm = float(context.figure["norm"])
        for of_set, label in ((False, "drawn images"), (True, "images of the set")):
            sizes = self.least(norm, of_set=of_set)
            known = np.where(np.isinf(sizes), np.nan, sizes)
            yield Number(name=f"changes found, {label}", value=np.isfinite(sizes))
            yield Number(name=f"smallest change found, {label}", value=known, unit=unit_of(norm))
        halves = "lead above its median", "lead below its median"
        names = context.class_names if self.partition == "labels" else halves
        for k in np.flatnonzero(self.counts):
            share = float(self.counts[k] / self.counts.sum())
            interval = float(self.share_low[k]), float(self.share_high[k])
            yield Number(name=f"share of drawn images, {names[int(k)]}", value=share, interval=interval)


def survivors(sizes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share of images for which no change of a size was found.

    Args:
        sizes: (n,) smallest change found for each image, infinite where none was.
        at: (s,) sizes of change.

    Returns:
        (s,) shares; NaN without an image.
    """
    if not len(sizes):
        return np.full(len(at), np.nan)
    found: np.ndarray = (sizes[:, None] > at * (1 + 1e-9)).mean(0)
    return found


def clopper_pearson(hits: np.ndarray, count: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the exact interval of shares hits / count: never too narrow.

    Args:
        hits: numbers of hits, any shape.
        count: number of trials.
        level: level of confidence.

    Returns:
        The lower and the upper end.

    Reference:
        Clopper, Pearson, Biometrika 26, 1934.

    >>> low, high = clopper_pearson(np.array([0, 10]), 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.692], [0.308, 1.0])
    """
    k, tail = np.asarray(hits, np.float64), (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), count - k + 1, tail), 0.0)
    high = np.where(k < count, betaincinv(k + 1, np.maximum(count - k, 1), 1 - tail), 1.0)
    return low, high


def uniform_levels(count: int, values: int, bits: int, generator: torch.Generator) -> Int[Tensor, "n v"]:
    """Images drawn uniformly from all images of a format, as levels 0 .. 2^bits - 1."""
    return torch.randint(0, 2**bits, (count, values), generator=generator)


class _Lead(nn.Module):
    """Two logits: the lead of one class of a module over all others, above and below a level."""

    def __init__(self, module: nn.Module, k: int, level: float) -> None:
        super().__init__()
        self.module, self.k, self.level = module, k, level

    def forward(self, images: Tensor) -> Tensor:
        logits = self.module(images)
        others = torch.cat([logits[:, : self.k], logits[:, self.k + 1 :]], 1)
        lead = logits[:, self.k] - others.amax(1) - self.level
        return torch.stack([lead, -lead], 1)


def halved(classifier: Classifier, bits: int, *, seed: int = 0, draws: int = 4001) -> Classifier:
    """Split the uniform images of a format into two halves by a classifier's own logits.

    A classifier that gives one label to nearly all noise has no other class to draw from. Its logits still differ from
    image to image: the margin of that label over the best other one, above or below its median, is a classifier with
    two classes of about one half each, to which the limits apply as to any other.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        bits: bits of each value.
        seed: seed of the images drawn for the median.
        draws: number of these images.

    Returns:
        A classifier of the same images with the classes "above" and "below".
    """
    generator = torch.Generator().manual_seed(seed + 1_000_003)
    levels = uniform_levels(draws, math.prod(classifier.input_shape), bits, generator)
    images = (levels.to(classifier.dtype) / (2**bits - 1)).view(-1, *classifier.input_shape).to(classifier.device)
    with torch.inference_mode():
        logits = classifier.batches(counts=False)(classifier, images).double()
    top = int(logits.argmax(1).mode().values)
    others = torch.cat([logits[:, :top], logits[:, top + 1 :]], 1)
    level = float((logits[:, top] - others.amax(1)).median())
    return Classifier(
        _Lead(classifier.module, top, level),
        classifier.input_shape,
        (f"lead of {classifier.class_names[top]} above its median", "below"),
        classifier.mean,
        classifier.std,
        name=f"{classifier.name}, halved",
        device=classifier.device,
    )


@counted
def survival(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    bits: int = 8,
    partition: Partition = "labels",
    count: int = 100,
    draws: int = 2000,
    walks: int = 2,
    keep: int = 3,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Survival:
    """Search for small changes of the label, of uniformly drawn images and of a set.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: images of a set, in [0, 1]; they are rounded to the grid and searched in the same way.
        bits: bits of each value.
        partition: the "labels" of the classifier, or `halved` at the median of its leading logit.
        count: images searched, the first ones drawn outside of the exempt class.
        draws: images drawn for the histogram of labels.
        walks: random walks from each image.
        keep: number of images whose start and witness are kept.
        seed: seed of all draws.
        on_progress: called with the fraction done.

    Returns:
        Sizes of the witnesses in all four norms, by search, and exact sizes of the extremal classifiers for the first
        `count` images drawn. `forwards` and `gradients` count forward and backward passes of the classifier, in images.

    Raises:
        ValueError: if a number is out of range.
        ImageError: if the set's images are not the classifier's.
    """
    if partition not in PARTITIONS or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"expected labels or halved at 1 to 16 bits, got {partition!r} at {bits}")
    if min(count, draws, walks) < 1 or keep < 0:
        raise ValueError(f"expected at least one image, draw and walk, got {count}, {draws} and {walks}")
    asked = halved(classifier, bits, seed=seed) if partition == "halved" else classifier
    pixels = asked.accept(images)
    search = Witnesses(asked, bits, walks, seed)
    spread, levels, labels = _draw(search, draws, count, seed)
    on_progress(0.1)
    starts, source = search.flat(levels[0]), labels[0]
    partners = torch.cat([starts, search.flat(levels[1])])
    found = search.sizes(starts, source, partners, torch.cat(labels), part_of(on_progress, 0.1, 0.7))
    grid = search.on_grid(pixels)
    label = search.label(grid)
    known = label >= 0
    of_set = search.sizes(grid[known], label[known], grid[known], label[known], part_of(on_progress, 0.7, 1.0))
    shape = (-1, *asked.input_shape)
    kept = found.witness[:keep]
    return Survival(
        **spread,
        source=source.cpu().numpy().astype(np.int32),
        size=found.size.cpu().numpy(),
        set_size=of_set.size.cpu().numpy(),
        exhibit_size=np.stack(
            [
                torch.stack([extremal_size(kind, levels[2], bits, norm) for norm in NORMS], 1).numpy()
                for kind in EXTREMAL
            ]
        ),
        start=starts[:keep].reshape(shape).cpu().numpy().astype(np.float32),
        witness=kept.reshape(shape).cpu().numpy().astype(np.float32),
        reached=search.label(kept).cpu().numpy().astype(np.int32) if len(kept) else np.empty(0, np.int32),
        norms=NORMS,
        bits=bits,
        partition=partition,
        num_classes=asked.num_classes,
        shape=asked.input_shape,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _draw(
    search: Witnesses, draws: int, count: int, seed: int
) -> tuple[dict[str, Any], tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """Label uniform images, part by part, and draw those that are needed again.

    Returns:
        How the labels are spread, as fields of `Survival`; levels of the images that are searched, of some of the
        exempt class, and of the first ones whatever their label; the labels of the former two.
    """
    values = math.prod(search.classifier.input_shape)
    label = torch.cat(
        [search.label(search.flat(levels)) for _, levels in _parts(values, search.bits, draws, seed)]
    ).cpu()
    counts = np.bincount(label[label >= 0].numpy(), minlength=search.classifier.num_classes)
    low, high = clopper_pearson(counts, draws)
    top = int(counts.argmax())
    exempt = top if high[top] > 0.5 else -1
    outside = ((label != exempt) & (label >= 0)).nonzero()[:count, 0]
    beside = ((label == exempt) & (label >= 0)).nonzero()[:_EXEMPT_KEPT, 0]
    first = torch.arange(min(count, draws))
    wanted = torch.cat([outside, beside, first])
    levels = torch.empty((len(wanted), values), dtype=torch.int64)
    for start, part in _parts(values, search.bits, draws, seed):
        here = (wanted >= start) & (wanted < start + len(part))
        levels[here] = part[wanted[here] - start]
    spread = {
        "counts": counts,
        "share_low": low,
        "share_high": high,
        "exempt": exempt,
        "share": _share(counts, low, high, exempt),
    }
    device = search.classifier.device
    return (
        spread,
        levels.split([len(outside), len(beside), len(first)]),
        (label[outside].to(device), label[beside].to(device)),
    )


def _parts(values: int, bits: int, draws: int, seed: int) -> Iterator[tuple[int, Tensor]]:
    """The levels of uniform images, chunk by chunk; the same ones each time."""
    size = max(1, _MOST_VALUES // values)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, draws, size):
        yield start, uniform_levels(min(size, draws - start), values, bits, generator)


def _share(counts: np.ndarray, low: np.ndarray, high: np.ndarray, exempt: int) -> np.ndarray:
    """Of all images, the share of the classes that are searched, for which a limit holds on their average.

    If one class surely has more than half, all others together are a class, too: losing one's label is easier than
    leaving them all. Else every class drawn is one for itself, and the limit is the worst among them.
    """
    if exempt >= 0 and low[exempt] > 0.5:
        return np.array([1 - high[exempt], 1 - low[exempt]]) if counts.sum() > counts[exempt] else np.full(2, np.nan)
    others = np.flatnonzero((counts > 0) & (np.arange(len(counts)) != exempt))
    if not len(others):
        return np.full(2, np.nan)
    return np.array([low[others].min(), min(0.5, high[others].max())])
