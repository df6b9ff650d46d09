"""The distance from an image to the boundary inside subspaces: how far it must move there to change its class.

For a subspace S of image space, the margin of an image x in S is

    m_S(x) = min ||r||_2  over r in S with argmax f(x + r) != argmax f(x),

a length, which this package calls a distance. Where it is small the classifier uses S, or is fragile there; where it is
large the classifier is invariant. If f is affine, m_S = min_k (f_s - f_k) / ||P_S (grad f_s - grad f_k)|| with the
projection P_S: the part of a gradient outside of S has no effect. So DeepFool runs with projected gradients, the zero
of the signed margin F is bracketed between x and the point it meets, and that point slides along the boundary inside S
until -r is parallel to P_S grad F. The distance in a subspace is at most that in any subspace it contains: where a
search ended further away, it takes the point of the contained one.

If the normal of the boundary had no preferred direction, a subspace of dimension d of D would hold d / D of its squared
length: m_S would be about m sqrt(D / d), m being the distance in all of image space. Below that line a model is more
sensitive than by chance, above it less. On subspaces that make up the space without overlapping, 1 / m_S² over their
sum is the share of sensitivity: of a flat boundary, the share of the normal's squared length.

References: Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight! Influence of discriminative features on
deep network boundaries, NeurIPS 2020 (arXiv 2002.06349). DeepFool: see `core.geometry.boundary.deepfool`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule, zero_between
from core.geometry.boundary.closest_point import alignment, closest_points
from core.geometry.boundary.signed_margin import length, per_row
from core.geometry.subspaces.subspace_margin import Planes, ProjectedMargin
from core.geometry.subspaces.subspaces import Subspaces, frequency_windows
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, per_sample, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "nearest": "On the boundary, at most 1° from the projected normal: the nearest point of the subspace to first"
        " order.",
        "not nearest": "On the boundary, but more than 1° off the projected normal: a nearer point may exist.",
        "contained": "On the boundary, found in a subspace that this one contains; its own search ended further away.",
        "not reached": "No other class was met within the steps allowed; allow more of them.",
        "no direction": "The gradient has no part in the subspace, vanished or was not finite on the way.",
        "undefined": "A logit is not finite at the image, or between it and the other class.",
    }
)
_WORDS = tuple(STATUSES)
_NEAREST, _OFF, _CONTAINED, _RUNNING, _LOST, _UNDEFINED = range(len(_WORDS))

_ALIGNED = 1.0  # degree
_FLOOR = 1e-4  # ℓ2 pixel: shorter steps stall on ties
_OVERSHOOT = 0.02  # as in the DeepFool experiments; used only in the test for another class
_GOES_ON = 3  # classes that DeepFool heads for after its first step
_ROUGHLY = 1e-2  # tolerance of the bracket before slides, relative to the distance
_NEARER = 1e-5  # relative: closer distances are equal up to rounding
_MOST_VALUES = 1 << 24  # pixels of the rows that are searched together: 111 of 3 x 224 x 224
_MOST_NAMED = 24  # subspaces that a text names one by one


@dataclass(frozen=True, kw_only=True, eq=False)
class SubspaceDistances(ClassifierResult):
    """The distances of n images to the boundary in each of s subspaces; NaN and class -1 where none was found."""

    distance: np.ndarray = quantity("ℓ2 pixel", "image subspace")
    isotropic: np.ndarray = quantity("ℓ2 pixel", "image subspace")  # without a preferred direction: m sqrt(D / d)
    target_class: np.ndarray = quantity("", "image subspace")  # that meets the source class at the point
    outcome: np.ndarray = quantity("", "image subspace")  # index of its word in STATUSES
    angle: np.ndarray = quantity("°", "image subspace")  # between image - point and projected normal; NaN: contained
    outside: np.ndarray = quantity("ℓ2 pixel", "image subspace")  # from the point to the pixel box
    steps: np.ndarray = quantity("", "image subspace")  # of DeepFool
    full_distance: np.ndarray = quantity("ℓ2 pixel", "image")  # in all of image space
    source_class: np.ndarray = quantity("", "image")  # -1 where undefined
    label: np.ndarray = quantity("", "image")  # the true class, -1 where it is unknown
    row: np.ndarray = quantity("", "image")  # of the image in its set
    perturbation: np.ndarray = quantity("pixel", "kept subspace c h w")  # point - image, of the first images
    dimension: np.ndarray = quantity("", "subspace")
    bounds: np.ndarray = quantity("", "subspace side")  # first row, row after the last, then columns; -1: no rectangle
    labels: tuple[str, ...] = quantity("")  # of the subspaces
    kind: str = quantity("")  # of the subspaces
    complete: bool = quantity("")  # whether they are disjoint and make up image space

    @property
    def found(self) -> np.ndarray:
        """(n, s) whether a point of the boundary was found."""
        return np.asarray(self.outcome <= _CONTAINED)

    @property
    def status(self) -> np.ndarray:
        """(n, s) words of STATUSES."""
        return np.asarray(np.array(_WORDS)[self.outcome])

    @property
    def space(self) -> int:
        """The dimension of image space."""
        return math.prod(self.perturbation.shape[2:])

    @property
    def right(self) -> np.ndarray:
        """(n,) whether the predicted class is the true one, or the true one is unknown."""
        return np.asarray((self.source_class >= 0) & ((self.label < 0) | (self.label == self.source_class)))

    @property
    def frequency(self) -> np.ndarray:
        """(s, 2) the middle of each subspace's frequencies, in half waves down and across; NaN where it has none."""
        if self.kind not in ("windows", "frequencies"):
            return np.full((len(self.labels), 2), np.nan)
        return np.asarray((self.bounds[:, ::2] + self.bounds[:, 1::2] - 1) / 2)

    def quantile(self, share: float, used: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """The distance that this share of images does not exceed, in each subspace.

        Args:
            share: 0.5 for the median.
            used: (n,) which images count, at least one.
            values: (n, s) in place of the distances; NaN where no boundary was found.

        Returns:
            (s,) values, each that of an image; no boundary counts as infinitely far.
        """
        far = np.nan_to_num((self.distance if values is None else values)[used], nan=np.inf)
        return np.asarray(np.quantile(far, share, axis=0, method="inverted_cdf"))

    def shares(self) -> np.ndarray:
        """(n, s) shares of sensitivity, 1 / distance² over their sum; 0 where no boundary was found.

        Raises:
            ValueError: if the subspaces overlap or do not make up image space.
        """
        if not self.complete:
            raise ValueError(
                f"expected subspaces that make up image space without overlapping, got {self.kind}; use blocks"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            sensitivity = np.where(self.found, self.distance**-2.0, 0.0)
            return np.asarray(sensitivity / sensitivity.sum(1, keepdims=True))

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Distances of the correctly classified images by subspace; of many subspaces the nearest and the farthest."""
        used = self.right if self.right.any() else self.source_class >= 0
        yield Number(name="images correctly classified", value=self.right)
        yield Number(name="distance in all of image space", value=per_sample(self.full_distance[used]), unit="ℓ2 pixel")
        if not used.any():
            return
        named = dict(enumerate(self.labels))
        if len(named) > _MOST_NAMED:
            median = self.quantile(0.5, used)
            ends = {int(np.argmin(median)): "nearest", int(np.argmax(median)): "farthest"}
            named = {index: f"{end}: {self.labels[index]}" for index, end in ends.items()}
        for index, label in named.items():
            yield Number(name=f"distance in {label}", value=per_sample(self.distance[used, index]), unit="ℓ2 pixel")


@counted
def subspace_distances(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    block: int = 8,
    stride: int = 4,
    subspaces: Subspaces | None = None,
    candidates: int = 9,
    max_steps: int = 50,
    slides: int = 6,
    tolerance: float = 1e-4,
    keep: int | None = None,
    on_progress: OnProgress = silent,
) -> SubspaceDistances:
    """Find how far images are from the boundary in each subspace.

    No distance is below the true one; for an affine classifier they are equal, up to rounding. Points may lie outside
    of the pixel box: distances are those of the function, not of possible images, and `outside` measures by how much.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        block: frequencies per side of a window, see `frequency_windows`.
        stride: from one window to the next.
        subspaces: other subspaces than these windows; `block` and `stride` are then ignored.
        candidates: how many other classes DeepFool heads for at first, those with the largest logits at the image;
            each subspace continues with the three that were nearest in it, and may meet any class.
        max_steps: most DeepFool steps of a search. A step is at most one diagonal of the pixel box long, beyond which a
            linearisation is meaningless.
        slides: most slides along the boundary towards the nearest point in the subspace. On the demo models, distances
            are on average 36 % too long with 0 (DeepFool's point, which the paper reports), 2 to 4 % with 6.
        tolerance: length of the interval that brackets the point, relative to the distance.
        keep: number of images, the first ones, whose perturbations are kept; all when None.
        on_progress: called with the fraction done, and the result of the images that are finished.

    Returns:
        The distances. `forwards` and `gradients` count forward and backward passes in images, one gradient per
        class and step.

    Raises:
        ValueError: if there is no image, an option is not one of those above, or the subspaces are of other images.
        ImageError: if a value is not finite or the shape is not the classifier's.

    Reference:
        Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight!, NeurIPS 2020.
    """
    if min(candidates, max_steps) < 1 or min(slides, keep or 0) < 0:
        came = f"{candidates}, {max_steps}, {slides} and {keep}"
        raise ValueError(f"expected at least one candidate, one step, 0 slides and 0 images to keep, got {came}")
    if not 0 < tolerance < 1:
        raise ValueError(f"expected a tolerance in (0, 1), got {tolerance}")
    pixels = classifier.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one image, got none")
    family = frequency_windows(classifier.input_shape, block, stride) if subspaces is None else subspaces
    if family.shape != classifier.input_shape:
        raise ValueError(f"expected subspaces of images {classifier.input_shape}, got those of {family.shape}")
    with engine_mode(classifier.device):
        search = _Search(classifier, family, candidates, max_steps, slides, tolerance)
        pixels, each = pixels.clone(), len(search.family)
        total = len(pixels) * each
        table = _Table(search, pixels, len(pixels) if keep is None else min(keep, len(pixels)))

        def run(rows: slice, tick: OnProgress) -> None:
            """Search some rows, each of which is an image in a subspace."""
            number = torch.arange(rows.start, rows.stop, device=pixels.device)
            table.put(rows.start, search(pixels, number // each, number % each, tick))
            if rows.stop < total and rows.stop // each > rows.start // each:
                on_progress(rows.stop / total, table.result(rows.stop // each))

        Chunks(_MOST_VALUES // pixels[0].numel())(total, run, on_progress)
        return table.result(len(pixels))


class _Search:
    """Finds boundary points from images and the numbers of subspaces."""

    def __init__(
        self,
        classifier: Classifier,
        family: Subspaces,
        candidates: int,
        max_steps: int,
        slides: int,
        tolerance: float,
    ) -> None:
        self.classifier, self.family, self.complete = classifier, family.with_whole(), family.complete
        self.margin = ProjectedMargin(classifier, self.family)
        self._max_steps, self._slides, self._tolerance = max_steps, slides, tolerance
        self._candidates = min(candidates, classifier.num_classes - 1)
        self._farthest = math.sqrt(family.whole)  # the diagonal of the pixel box

    def __call__(self, images: Tensor, owner: Tensor, which: Tensor, tick: Callable[[float], None]) -> _Found:
        """Search consecutive rows: the image `owner` in the subspace `which` of each."""
        first, last = int(owner[0]), int(owner[-1])
        images, owner = images[first : last + 1].to(self.margin.dtype), owner - first
        logits = self.margin.all_logits(images)
        defined = torch.isfinite(logits).all(1)
        source = logits.argmax(1)
        others = logits.scatter(1, source[:, None], -torch.inf).topk(self._candidates, 1).indices
        self.margin.rows(source[owner], which)
        found = _Found(images[owner], source.where(defined, -1)[owner])
        rows = defined[owner].nonzero()[:, 0]
        if len(rows):
            planes = self.margin.nearest_planes_from(images, source, others, rows, owner[rows])
            beyond = self._deepfool(found, rows, planes, lambda part: tick(part / 2))
            rows = (found.outcome == _OFF).nonzero()[:, 0]
            if len(rows):
                self._settle(found, rows, beyond[rows], lambda part: tick((1 + part) / 2))
        return found

    def _deepfool(self, found: _Found, rows: Tensor, planes: Planes, tick: Callable[[float], None]) -> Tensor:
        """Step to the nearest linearised boundary of the subspace until another class wins a little further on."""
        way, beyond = torch.zeros_like(found.base), found.base.clone()
        found.outcome[rows] = _RUNNING
        others = torch.zeros_like(planes.classes[:1, :_GOES_ON]).repeat(len(way), 1)
        others[rows] = planes.classes[:, :_GOES_ON]
        drops = compaction_schedule(self._max_steps, rows.device)
        for step in range(1, self._max_steps + 1):
            start = found.base[rows]
            if step > 1:
                planes = self.margin.nearest_planes(start + way[rows], rows, others[rows])
            runs = found.outcome[rows] == _RUNNING
            goes = runs & torch.isfinite(planes.distance)
            size = planes.distance.clamp(_FLOOR, self._farthest).where(goes, 0.0)
            way[rows] += per_row(size) * planes.direction
            there = start + (1 + _OVERSHOOT) * way[rows]
            crossed = goes & (self.margin(there, rows) < 0)
            beyond[rows] = there.where(per_row(crossed), beyond[rows])
            found.steps[rows] += runs
            found.outcome[rows] = torch.where(crossed, _OFF, torch.where(runs & ~goes, _LOST, found.outcome[rows]))
            if step in drops:
                tick(step / self._max_steps)
                rows = rows[found.outcome[rows] == _RUNNING]
                if not len(rows):
                    break
        return beyond

    def _settle(self, found: _Found, rows: Tensor, beyond: Tensor, tick: Callable[[float], None]) -> None:
        """Find points on the boundary, refined, with angles and classes, from points of other classes."""
        base = found.base[rows]
        if self._slides:
            points, _ = zero_between(self.margin, base, beyond, rows, _ROUGHLY)
            points, _ = closest_points(self.margin, base, points, rows, norm=2, max_steps=self._slides, tick=tick)
            there = points + _OVERSHOOT * (points - base)
            nearer = (self.margin(there, rows) < 0) & (length(there - base, 2) < length(beyond - base, 2))
            beyond = there.where(per_row(nearer), beyond)
        points, closed = zero_between(self.margin, base, beyond, rows, self._tolerance)
        way = self.margin.projected(points - base, rows)  # rounded pixels are not exactly in the subspace
        _, normal, runner_up = self.margin.slope(base + way, rows)
        angle = alignment(way, normal, 2)
        found.way[rows] = way.where(per_row(closed), torch.nan)
        found.angle[rows] = angle.where(closed, torch.nan)
        found.target[rows] = runner_up.where(closed, -1)
        found.outcome[rows] = torch.where(closed, torch.where(angle <= _ALIGNED, _NEAREST, _OFF), _UNDEFINED)


class _Found:
    """The state of each row during the search."""

    def __init__(self, base: Tensor, source: Tensor) -> None:
        self.base, self.source = base, source
        self.way = torch.full_like(base, torch.nan)
        self.angle = torch.full_like(base[:, 0, 0, 0], torch.nan)
        self.target = torch.full_like(source, -1)
        self.outcome = torch.full_like(source, _UNDEFINED)
        self.steps = torch.zeros_like(source)


class _Table:
    """The rows found so far on the CPU, as a table of images and subspaces; image space itself comes last."""

    def __init__(self, search: _Search, images: Tensor, keep: int) -> None:
        self._search, self._family = search, search.family
        self._width = len(search.family)
        rows = len(images) * self._width
        self._columns = {name: np.full(rows, np.nan) for name in ("distance", "outside", "angle")}
        words = {"source": -1, "target": -1, "outcome": _UNDEFINED, "steps": 0}
        self._columns |= {name: np.full(rows, value, np.int32) for name, value in words.items()}
        self._perturbations = torch.full((keep * self._width, *images.shape[1:]), torch.nan, dtype=search.margin.dtype)

    def put(self, start: int, found: _Found) -> None:
        """Enter consecutive rows."""
        point, rows = found.base + found.way, slice(start, start + len(found.base))
        self._columns["distance"][rows] = length(found.way.double(), 2).cpu().numpy()
        self._columns["outside"][rows] = length(point - point.clamp(0, 1), 2).cpu().numpy()
        for name in ("angle", "source", "target", "outcome", "steps"):
            self._columns[name][rows] = getattr(found, name).cpu().numpy()
        kept = self._perturbations[rows]
        kept.copy_(found.way[: len(kept)])

    def result(self, done: int) -> SubspaceDistances:
        """The result of the first images, each distance corrected by those of contained subspaces."""
        columns = {name: column.reshape(-1, self._width)[:done] for name, column in self._columns.items()}
        perturbations = self._perturbations.view(-1, self._width, *self._perturbations.shape[1:])[:done].numpy()
        source, steps = columns.pop("source")[:, 0].copy(), columns.pop("steps")[:, :-1].copy()
        winner = _nearest_contained(columns["distance"], self._family.contained.cpu().numpy())
        columns = {name: np.take_along_axis(column, winner, 1) for name, column in columns.items()}
        perturbations = np.take_along_axis(perturbations, winner[: len(perturbations), :, None, None, None], 1)
        other = winner != np.arange(self._width)
        columns["outcome"][other], columns["angle"][other] = _CONTAINED, np.nan
        family, search, full = self._family, self._search, columns["distance"][:, -1]
        dimension = np.array(family.dimension[:-1])
        return SubspaceDistances(
            distance=columns["distance"][:, :-1],
            isotropic=full[:, None] * np.sqrt(family.whole / dimension),
            target_class=columns["target"][:, :-1],
            outcome=columns["outcome"][:, :-1],
            angle=columns["angle"][:, :-1],
            outside=columns["outside"][:, :-1],
            steps=steps,
            full_distance=full,
            source_class=source,
            label=np.full(done, -1, np.int32),
            row=np.arange(done, dtype=np.int32),
            perturbation=perturbations[:, :-1],
            dimension=dimension,
            bounds=np.array(family.bounds or [(-1,) * 4] * (self._width - 1), np.int32),
            labels=family.labels[:-1],
            kind=family.kind,
            complete=search.complete,
            num_classes=search.classifier.num_classes,
            fingerprint=search.classifier.fingerprint,
            **spent(),
        )


def _nearest_contained(distance: np.ndarray, contained: np.ndarray) -> np.ndarray:
    """The subspace whose point each one takes: itself, or the nearest one that it contains if that is nearer."""
    far = np.nan_to_num(distance, nan=np.inf)
    winner = np.tile(np.arange(far.shape[1]), (len(far), 1))
    for outer in range(far.shape[1]):
        inner = np.flatnonzero(contained[:, outer])
        nearest = inner[far[:, inner].argmin(1)]
        nearer = far[np.arange(len(far)), nearest] < far[:, outer] * (1 - _NEARER)
        winner[nearer, outer] = nearest[nearer]
    return winner
