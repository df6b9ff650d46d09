"""The regions of a slice: number, size and perimeter; and how fragmented a classifier is over many planes.

A region is a connected set of grid points of one label, where each point has four neighbours: points that touch only at
a corner are not connected. Each point represents one cell of the grid, of size `step` x `step`. Perimeters follow from
the Cauchy-Crofton formula over four directions, L = (pi h / 8) (n_0 + n_90 + (n_45 + n_135) / sqrt 2), with h the step
and n the pairs of neighbours in a direction that the region's edge separates; perimeter² / area is then about 4 pi for
a disc.

Counts depend on the resolution: thin regions break into dots. So each comes with its resolution and step, regions
below 4 cells are called unresolved, and `Fragmentation.persistence` gives the count against the smallest share of the
picture that counts. All intervals are bootstraps of the mean over planes (Efron, Annals of Statistics 7, 1979).

Reference: the fragmentation score follows Somepalli et al., Can Neural Nets Learn the Same Model Twice?, CVPR 2022
(arXiv 2203.08124), with 4 neighbours for 8 and with an interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from core.errors import ImageError
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_SMALLEST_RESOLVED = 4  # cells
_SPREAD = 1.5  # side of a random plane's square over the spread of its three images
_ATTEMPTS = 100  # triplets tried until one spans a plane
_RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)  # percent
_CHUNK = 8  # planes between two reports
_SHARES = 32  # shares of persistence, evenly spaced in their logarithm; fewer where they are less than a cell apart


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionStatistics(Result):
    """The connected regions of a slice, largest first, and their totals by class."""

    region: np.ndarray = quantity("", "y x")  # number of the region at each point, -1 where undefined
    region_class: np.ndarray = quantity("", "region")
    cells: np.ndarray = quantity("grid points", "region")
    area: np.ndarray = quantity("ℓ2² pixel", "region")
    share: np.ndarray = quantity("", "region")  # of the whole grid
    perimeter: np.ndarray = quantity("ℓ2 pixel", "region")  # where the frame cuts a region, along the frame
    touches_frame: np.ndarray = quantity("", "region")
    classes: np.ndarray = quantity("", "class")  # seen on the slice, ascending
    class_regions: np.ndarray = quantity("", "class")
    class_area: np.ndarray = quantity("ℓ2² pixel", "class")
    class_share: np.ndarray = quantity("", "class")
    resolution: int = quantity("grid points")  # along one side
    step: float = quantity("ℓ2 pixel")

    @property
    def perimeter_squared_per_area(self) -> np.ndarray:
        """4 pi for a disc, more for everything else."""
        return np.asarray(self.perimeter**2 / self.area)

    @property
    def unresolved(self) -> np.ndarray:
        """Which regions have fewer than 4 cells: at this resolution they may be parts of a thin one."""
        return np.asarray(self.cells < _SMALLEST_RESOLVED)


@counted
def region_statistics(slice: Slice) -> RegionStatistics:
    """Count and measure the connected regions of a slice.

    Args:
        slice: the slice; points with undefined labels belong to no region.

    Returns:
        The regions, largest first; regions of equal size in the order of their first points.
    """
    region, region_class = _regions(slice.label)
    cells = _cells(region, region_class)
    frame = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    of_class = [region_class == k for k in slice.classes]
    class_cells = np.array([cells[mine].sum() for mine in of_class], np.int64)
    return RegionStatistics(
        region=region,
        region_class=region_class,
        cells=cells,
        area=cells * slice.step**2,
        share=cells / region.size,
        perimeter=_perimeters(region, len(region_class)) * slice.step,
        touches_frame=np.isin(np.arange(len(region_class)), frame),
        classes=slice.classes,
        class_regions=np.array([mine.sum() for mine in of_class], np.int64),
        class_area=class_cells * slice.step**2,
        class_share=class_cells / region.size,
        resolution=len(slice.x),
        step=slice.step,
        **spent(),
    )


def _regions(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of the region at each point, largest first, -1 where the label is; and the class of each region."""
    found = np.full(label.shape, -1, np.int32)
    classes: list[int] = []
    for k, window in enumerate(ndimage.find_objects(label + 1)):
        if window is None:
            continue
        mine = label[window] == k
        numbers, count = ndimage.label(mine)  # its default structure: the four neighbours
        found[window][mine] = numbers[mine] + (len(classes) - 1)
        classes += [k] * count
    seen, first, cells = np.unique(found, return_index=True, return_counts=True)
    first, cells = first[seen >= 0], cells[seen >= 0]
    order = np.lexsort((first, -cells))
    rank = np.full(len(classes) + 1, -1, np.int32)  # the last one stands for -1
    rank[order] = np.arange(len(classes))
    return rank[found], np.array(classes, np.int64)[order]


def _cells(region: np.ndarray, region_class: np.ndarray) -> np.ndarray:
    """How many points each region has."""
    return np.bincount(region[region >= 0], minlength=len(region_class))


def _perimeters(region: np.ndarray, count: int) -> np.ndarray:
    """Perimeters in steps of the grid; there is no region beyond the frame."""
    around = np.pad(region, 1, constant_values=-1)
    straight = [(around[1:], around[:-1]), (around[:, 1:], around[:, :-1])]
    diagonal = [(around[1:, 1:], around[:-1, :-1]), (around[1:, :-1], around[:-1, 1:])]
    total = np.zeros(count + 1)
    for pairs, weight in ((straight, 1.0), (diagonal, np.sqrt(0.5))):
        for here, there in pairs:
            differ = here != there
            total += weight * np.bincount(here[differ] + 1, minlength=count + 1)
            total += weight * np.bincount(there[differ] + 1, minlength=count + 1)
    return np.asarray(np.pi / 8 * total[1:])


# -- over many planes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Fragmentation(Result):
    """How many regions a classifier has on random planes through three images."""

    regions: np.ndarray = quantity("regions", "plane", words="regions of a plane")
    rows: np.ndarray = quantity("", "plane anchor")  # the three images of each plane
    mean: float = quantity("regions")
    low: float = quantity("regions")  # 2.5 % and 97.5 % of the mean of resampled planes
    high: float = quantity("regions")
    share: np.ndarray = quantity("share of the picture", "share")  # from that of one cell up to 1
    lasting: np.ndarray = quantity("regions", "plane share")  # of at least that share
    finer: np.ndarray = quantity(
        "regions", "plane", words="regions at twice the resolution"
    )  # at twice the resolution; empty unless `finer` was asked for
    resolution: int = quantity("grid points")  # along one side
    seed: int = quantity("")
    fingerprint: str = quantity("", default="")

    @property
    def finer_ratio(self) -> float:
        """Mean count at twice the resolution over that at this one: far from 1, trust neither. NaN if not counted."""
        return float(self.finer.mean() / self.mean) if len(self.finer) else float("nan")

    def persistence(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean number of regions of at least each share, and its interval.

        Returns:
            Mean, 2.5 % and 97.5 % of the mean of resampled planes, each (share,).
        """
        return self.lasting.mean(0), *_bootstrap(self.lasting, self.seed)

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Regions of the planes, also at twice the resolution where that was counted."""
        yield from self.quoted("regions")
        if len(self.finer):
            yield from self.quoted("finer", "finer_ratio:regions at twice the resolution over these")


@counted
def fragmentation(
    classifier: Classifier,
    images: ImageSet,
    planes: int = 100,
    resolution: int = 48,
    seed: int = 0,
    *,
    finer: bool = False,
    on_progress: OnProgress = silent,
) -> Fragmentation:
    """Count the regions on planes through random triplets of images.

    Each plane is sampled in a square of 1.5 x the spread of its images. A point of it is a weighted sum of the three
    images, so that the points of all planes share batches. Plane i depends on the seed and i alone: asking for more
    planes does not change the first ones.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: the set that triplets are drawn from.
        planes: number of planes.
        resolution: points along each side, at least 2.
        seed: of triplets and resampling.
        finer: count at twice the resolution on the same planes, too, for five times the forwards.
        on_progress: called with the fraction done and, every few planes, a `Fragmentation` of those so far.

    Returns:
        Counts by plane, their mean and the bootstrap interval of the mean (2.5 to 97.5 %, 2000 resamples).

    Raises:
        ValueError: if there is no plane or the resolution is below 2.
        ImageError: if the images are not of the classifier's shape, or no three of them span a plane.
    """
    if planes < 1 or resolution < 2:
        raise ValueError(f"expected at least 1 plane and 2 points a side, got {planes} and {resolution}")
    triplets = [_triplet(images, seed, number) for number in range(planes)]
    used, places = np.unique(triplets, return_inverse=True)
    corners = classifier.accept(images[used].pixels).flatten(1)
    anchors = torch.as_tensor(places.reshape(planes, 3), device=classifier.device)
    batches = classifier.batches()

    def labels(points: Tensor) -> Tensor:
        """Labels of rows (plane, weights of its three images)."""
        weights = points[:, 1:].to(corners.dtype)
        pixels = torch.einsum("ba,bad->bd", weights, corners[anchors[points[:, 0].long()]])
        logits = classifier(pixels.view(-1, *classifier.input_shape))
        return logits.argmax(1).where(torch.isfinite(logits).all(1), -1)

    sides = (resolution, 2 * resolution) if finer else (resolution,)
    smallest = np.unique(np.geomspace(1, resolution**2, _SHARES).round().astype(np.int64))  # cells
    lasting: list[np.ndarray] = []
    finer_counts: list[int] = []

    def so_far() -> Fragmentation:
        table = np.stack(lasting)
        regions = table[:, 0]
        low, high = _bootstrap(regions[:, None], seed)
        return Fragmentation(
            regions=regions,
            rows=np.array(triplets)[: len(regions)],
            mean=float(regions.mean()),
            low=float(low[0]),
            high=float(high[0]),
            share=smallest / resolution**2,
            lasting=table,
            finer=np.array(finer_counts, np.int64),
            resolution=resolution,
            seed=seed,
            fingerprint=classifier.fingerprint,
            **spent(),
        )

    for start in range(0, planes, _CHUNK):
        chunk = range(start, min(start + _CHUNK, planes))
        for number, side in enumerate(sides):
            weights = torch.cat([_weights(images, triplets[plane], side, plane) for plane in chunk])
            begin, end = ((start + len(chunk) * part / len(sides)) / planes for part in (number, number + 1))
            with torch.inference_mode():
                found = batches(labels, weights.to(classifier.device), part_of(on_progress, begin, end))
            pictures = found.view(len(chunk), side, side).cpu().numpy()
            cells = [_cells(*_regions(picture)) for picture in pictures]
            if number:
                finer_counts += [len(sizes) for sizes in cells]
            else:
                lasting += [(sizes[:, None] >= smallest).sum(0) for sizes in cells]
        if chunk.stop < planes:
            on_progress(chunk.stop / planes, so_far())
    return so_far()


def _triplet(images: ImageSet, seed: int, number: int) -> list[int]:
    """The rows of three random images that span a plane, the first such triplet drawn for this number.

    Raises:
        ImageError: if none of many do.
    """
    generator = np.random.default_rng([seed, number])
    for _ in range(_ATTEMPTS if len(images) >= 3 else 0):
        rows: list[int] = generator.choice(len(images), 3, replace=False).tolist()
        try:
            Plane.through(*images[rows].pixels)
        except ImageError:
            continue
        return rows
    raise ImageError(f"expected a set with three images that span a plane, found none in {len(images)}; add images")


def _weights(images: ImageSet, rows: list[int], side: int, number: int) -> Tensor:
    """(side², 4): the plane's number and, for each grid point, the weights of its three images; float64."""
    anchors = images[rows].pixels
    plane = Plane.through(*anchors)
    corners = plane.to_plane(anchors).numpy()
    x_min, x_max, y_min, y_max = plane.square(corners, _SPREAD)
    x, y = np.meshgrid(np.linspace(x_min, x_max, side), np.linspace(y_min, y_max, side))
    points = np.stack([x.ravel(), y.ravel()])
    second, third = np.linalg.solve((corners[1:] - corners[0]).T, points - corners[0][:, None])
    weights = np.stack([np.full(side * side, float(number)), 1 - second - third, second, third], 1)
    return torch.from_numpy(weights)


def _bootstrap(counts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each column's mean (planes, columns) over planes resampled with replacement."""
    planes = len(counts)
    chosen = np.random.default_rng(seed).integers(0, planes, (_RESAMPLES, planes))
    times = np.stack([np.bincount(draw, minlength=planes) for draw in chosen])
    low, high = np.percentile(times @ counts / planes, _INTERVAL, axis=0)
    return low, high
