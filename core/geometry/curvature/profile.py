"""Principal curvatures of the decision boundary at the point nearest to each image.

At a boundary point z between the classes s (of the image) and t, `core.geometry.hessian.shape_operator` defines the
principal curvatures k_1 >= ... >= k_{d-1}, in 1 / length. The sign: k < 0 where the boundary closes around the image's
class, which is convex in that direction; k > 0 where that class wraps around the other one. With the distance D =
||x - z||, the product k D has no unit: where |k| D is far below 1 the boundary is flat at the scale of the distance;
where it is near 1 the error of a linear estimate of the distance is as large as the estimate.

All curvatures are computed where images have at most 3072 values, else the density of all and both ends. Networks with
kinks have no second derivative: their curvature is measured at a stated scale, by differences of the gradient over h or
with every kink rounded; it is a function of that scale (`core.geometry.curvature.scale`), never a single number.

References: Fawzi, Moosavi-Dezfooli, Frossard, Soatto, Empirical study of the topology and geometry of deep networks,
CVPR 2018 (arXiv 1705.09552); differences: Jetley, Lord, Torr, With friends like these, who needs adversaries?, NeurIPS
2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.closest_point import alignment
from core.geometry.boundary.deepfool import STATUSES as BOUNDARY_STATUSES
from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.boundary.signed_margin import SignedMargin, length, per_row
from core.geometry.curvature.focal import is_saddle, nearer_points
from core.geometry.curvature.search import PROBES, STEPS, CurvatureSearch, Extent
from core.geometry.curvature.summary import CurvatureSummary
from core.geometry.hessian.lanczos import Side
from core.geometry.hessian.products import Backend
from core.geometry.hessian.second_derivatives import Method, plan_for, require_smooth
from core.geometry.hessian.softening import softened
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        **{word: text for word, text in BOUNDARY_STATUSES.items() if word != "in the box"},
        "saddle": "A boundary point, but its curvature shows that there are nearer ones close to it; none was found.",
        "singular": "The margin is so flat at the point that its normal and its curvature are meaningless.",
    }
)

MOST_FULL = 3072  # values of an image up to which all curvatures are the default
_MOST_DENSE = 16384  # the matrix of more would take over 2 GiB
_ROUNDS = 3  # of leaving a saddle
_SINGULAR = 1e-3  # of the average slope between image and point
_MOST_VALUES = 1 << 26  # of bases held at once: 512 MiB


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureProfile(CurvatureSummary, ClassifierResult):
    """Principal curvatures at the boundary near n images, sorted; NaN where there is no regular boundary point."""

    directions: np.ndarray = quantity("", "n m c h w")  # of length 1, tangential
    direction_curvatures: np.ndarray = quantity("1/ℓ2 pixel", "n m")  # theirs, descending
    residual: np.ndarray = quantity("1/ℓ2 pixel", "n m")  # ||S v - k v|| of each
    converged: np.ndarray = quantity("", "n")
    asymmetry_ratio: np.ndarray = quantity("", "n", formerly="skew")  # antisymmetric over symmetric part
    points: np.ndarray = quantity("pixel", "n c h w")
    normals: np.ndarray = quantity("", "n c h w")  # of length 1, to the source side
    steepness: np.ndarray = quantity("1/ℓ2 pixel", "n")  # of the margin at the point, per ℓ2 length
    offset: np.ndarray = quantity("ℓ2 pixel", "n")  # |F| / ||grad F||: how far off the boundary, to first order
    angle: np.ndarray = quantity("°", "n")  # between image - point and normal
    focal: np.ndarray = quantity("", "n")  # 1 + k D of the smallest known curvature: not negative at nearest points
    moved: np.ndarray = quantity("", "n")  # how often a saddle was replaced by a nearer point
    source_class: np.ndarray = quantity("", "n")  # -1 where undefined
    target_class: np.ndarray = quantity("", "n")  # -1 where none was found
    status: np.ndarray = quantity("", "n")  # a word of STATUSES
    method: str = quantity("")  # exact, differences or softplus
    scale: float = quantity("ℓ2 pixel")  # h of differences, else NaN
    sharpness: float = quantity("")  # of rounded kinks, else NaN
    agreement: float = quantity("")  # share of images whose class the rounded network keeps; 1 where it is not rounded
    kinks: tuple[str, ...] = quantity("")  # operations whose first derivative jumps
    backend: str = quantity("")  # how second derivatives were computed
    products: int = quantity("")  # of them with a direction


@counted
def curvature_profile(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    directions: int | Literal["auto", "all"] = "auto",
    *,
    method: Method = "auto",
    scale: float | None = None,
    sharpness: float = 10.0,
    points: BoundaryPoints | None = None,
    keep: int = 20,
    side: Side | None = None,
    tolerance: float = 1e-3,
    backend: Backend | Literal["auto"] = "auto",
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> CurvatureProfile:
    """Measure the principal curvatures of the boundary at the point nearest to each image.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        directions: "all" principal curvatures; a number: that many of largest magnitude; "auto": all of them for images
            of at most 3072 values, else the density of all and `keep` of both ends.
        method: "exact" second derivatives; "differences" of the gradient over `scale`; "softplus": exact ones of the
            network with its kinks rounded, at its own boundary. "auto": exact, but differences where there are kinks.
        scale: h of differences in ℓ2 pixel; when None, the step that moves a value by one of 255 grey levels on
            average, sqrt(d) / 255.
        sharpness: of rounded kinks, see `core.geometry.hessian.softening`.
        points: boundary points of these images by this classifier, if they are known; not for "softplus".
        keep: how many principal directions are kept; not used when `directions` is a number.
        side: "largest magnitude" or "both ends", half from each; when None, the first for a number of directions, the
            second for those kept.
        tolerance: of ||S v - k v||, relative to the largest |k|, where not all curvatures are computed.
        backend: how second derivatives are computed; "auto": the first one that the classifier supports.
        seed: of random starting directions.
        on_progress: called with the fraction done, and while the search runs the curvatures so far, without directions.

    Returns:
        The curvatures, sorted descending, with summaries. `forwards` and `gradients` count forward and backward passes
        in images, `products` those of the second derivative with a direction.

    Raises:
        ValueError: if an option is not one of those above, or exact curvatures are asked for of a network with kinks,
            where they are 0 almost everywhere and meaningless.
        ImageError: if a value is not finite, the shape is not the classifier's, or an image is a single value.

    Reference:
        Fawzi et al., Empirical study of the topology and geometry of deep networks, CVPR 2018.
    """
    pixels = classifier.accept(images)
    values = pixels[0].numel() if len(pixels) else 1
    whole = directions == "all" or (directions == "auto" and values <= MOST_FULL)
    count = directions if isinstance(directions, int) else keep
    _check(count, values, whole, tolerance, method, points, len(pixels))
    require_smooth(classifier, method)
    with engine_mode(classifier.device):
        used, agreement = classifier, 1.0
        if method == "softplus":
            used = softened(classifier, sharpness)
            agreement = float((used.predict(pixels).label == classifier.predict(pixels).label).mean())
        found = (
            points if points is not None else boundary_points(used, pixels, on_progress=part_of(on_progress, 0, 0.2))
        )
        plan = plan_for(used, found, method, scale, backend)
        usual: Side = "largest magnitude" if isinstance(directions, int) else "both ends"
        extent = Extent(whole, count, side or usual, tolerance)
        search = CurvatureSearch(used, plan, extent, seed, density=not whole and directions == "auto")
        table = _Table(pixels.clone(), found, search)

        def profile(arrays: dict[str, Any]) -> CurvatureProfile:
            return CurvatureProfile(
                **arrays,
                dimension=values - 1,
                method=plan.method if method != "softplus" else "softplus",
                scale=plan.scale,
                sharpness=sharpness if method == "softplus" else math.nan,
                agreement=agreement,
                kinks=plan.kinks,
                backend=search.backend,
                num_classes=classifier.num_classes,
                fingerprint=classifier.fingerprint,
                **spent(products=True),
            )

        def tell(fraction: float) -> None:
            on_progress(0.2 + 0.8 * fraction, None if on_progress is silent else profile(table.so_far()))

        held = 2 * (6 * extent.kept + 40) + (PROBES * STEPS if search.density else 0)
        chunks = Chunks(min(_MOST_VALUES // (held * values), used.batches().size))
        chunks(len(table.rows), lambda some, tick: table.fill(table.rows[some], tick), tell)
    return profile(table.arrays())


def _check(
    count: int, values: int, whole: bool, tolerance: float, method: str, points: BoundaryPoints | None, rows: int
) -> None:
    if not rows:
        raise ValueError("expected at least one image, got none")
    if values < 2:
        raise ImageError(f"expected images of 2 values or more, got {values}: their boundary, a point, cannot bend")
    if count < 1:
        raise ValueError(f"expected at least one direction, got {count}")
    if whole and values > _MOST_DENSE:
        raise ValueError(
            f"expected images of at most {_MOST_DENSE} values for all curvatures, got {values}; ask for fewer"
        )
    if not 0 < tolerance < 1:
        raise ValueError(f"expected a tolerance in (0, 1), got {tolerance}")
    if points is not None and (method == "softplus" or len(points.points) != rows):
        raise ValueError("expected boundary points of these images by the network that is measured, got others")


class _Table:
    """The rows of the result during the search."""

    def __init__(self, images: Tensor, found: BoundaryPoints, search: CurvatureSearch) -> None:
        self.search = search
        self.margin = SignedMargin(search.classifier)
        self._images, device = images.to(self.margin.dtype), images.device
        self._points = torch.as_tensor(found.points).to(device, self.margin.dtype).clone()
        self._source, self._target = (
            torch.as_tensor(each).long().to(device) for each in (found.source_class, found.target_class)
        )
        self.status = [word if word != "in the box" else "not nearest" for word in found.status.tolist()]
        self.rows = torch.as_tensor(found.found.nonzero()[0]).to(device)
        n, d = len(images), images[0].numel()
        extent = search.extent
        kept = min(extent.kept, d - 1)
        quads = PROBES * min(STEPS, d - 1) if search.density else 0
        unknown = {
            "curvatures": (d - 1 if extent.whole else kept,),
            "directions": (kept, *images.shape[1:]),
            "direction_curvatures": (kept,),
            "residual": (kept,),
            "nodes": (quads,),
            "weights": (quads,),
            "normals": tuple(images.shape[1:]),
            **dict.fromkeys(("steepness", "offset", "angle", "focal", "asymmetry_ratio", "distance"), ()),
        }
        self._numbers = {name: np.full((n, *sizes), np.nan) for name, sizes in unknown.items()}
        self._numbers["directions"] = self._numbers["directions"].astype(np.float32)
        self._moved, self._converged = np.zeros(n, np.int32), np.zeros(n, np.bool_)

    def fill(self, rows: Tensor, tick: Callable[[float], None]) -> None:
        """Measure these rows, and those at a saddle again at nearer points."""
        for attempt in range(_ROUNDS + 1):
            rows = self._regular(rows)
            if not len(rows):
                return
            vectors, smallest = self._measure(rows, tick)
            distance = length(self._points[rows] - self._images[rows], 2).double()
            bad = is_saddle(smallest, distance)
            rows, vectors = rows[bad], vectors[bad]
            if not len(rows):
                return
            if attempt == _ROUNDS:
                break
            rows = self._leave(rows, vectors)
        for row in rows.tolist():
            self.status[row] = "saddle"

    def _regular(self, rows: Tensor) -> Tensor:
        """The rows where the margin is not too flat; writes distance, angle and normal of all."""
        images, points, source = self._images[rows], self._points[rows], self._source[rows]
        at, gradient, runner_up = self.margin.slope(points, source)
        steepness, distance = length(gradient, 2), length(points - images, 2)
        singular = ~(steepness * distance > _SINGULAR * self.margin(images, source).abs())
        self._target[rows] = runner_up
        angle = alignment((points - images).double(), gradient.double(), 2)
        self._write(
            rows,
            steepness=steepness,
            offset=at.abs() / steepness,
            angle=angle,
            distance=distance,
            normals=gradient / per_row(steepness.clamp(min=torch.finfo(steepness.dtype).tiny)),
        )
        for row, flat, degrees in zip(rows.tolist(), singular.tolist(), angle.tolist(), strict=True):
            self.status[row] = "singular" if flat else "nearest" if degrees <= 1 else "not nearest"
        return rows[~singular]

    def _measure(self, rows: Tensor, tick: Callable[[float], None]) -> tuple[Tensor, Tensor]:
        """Write the curvatures of these rows; returns the direction of the smallest one and its value."""
        operator = self.search.operator(self._points[rows], self._source[rows], self._target[rows])

        def watch(some: Tensor, values: Tensor, residual: Tensor) -> None:
            self._write(rows[some], curvatures=values)

        every, ends = self.search.ends(operator, tick, watch)
        nodes, weights = self.search.quadrature(operator)
        smallest = every[:, -1]
        distance = length(self._points[rows] - self._images[rows], 2).double()
        self._write(
            rows,
            curvatures=every,
            directions=ends.vectors.view(len(rows), -1, *self._images.shape[1:]),
            direction_curvatures=ends.values,
            residual=ends.residual,
            nodes=nodes,
            weights=weights,
            asymmetry_ratio=ends.asymmetry_ratio,
            focal=1 + smallest * distance,
        )
        self._converged[rows.cpu().numpy()] = ends.converged.cpu().numpy()
        return ends.vectors[:, -1].view_as(self._images[rows]).to(self._images.dtype), smallest

    def _leave(self, rows: Tensor, directions: Tensor) -> Tensor:
        """Move these rows to nearer points; returns those that moved, and calls the others saddles."""
        self._points[rows], moved = nearer_points(
            self.margin, self._images[rows], self._points[rows], self._source[rows], directions
        )
        for row in rows[~moved].tolist():
            self.status[row] = "saddle"
        rows = rows[moved]
        self._moved[rows.cpu().numpy()] += 1
        return rows

    def _write(self, rows: Tensor, **columns: Tensor) -> None:
        for name, values in columns.items():
            self._numbers[name][rows.cpu().numpy()] = values.cpu().numpy()

    def arrays(self) -> dict[str, Any]:
        """The arrays of `CurvatureProfile` on the CPU."""
        return {
            **self._numbers,
            "points": self._points.cpu().numpy(),
            "moved": self._moved,
            "converged": self._converged,
            "source_class": self._source.to(torch.int32).cpu().numpy(),
            "target_class": self._target.to(torch.int32).cpu().numpy(),
            "status": np.array(self.status),
        }

    def so_far(self) -> dict[str, Any]:
        """Copies of the arrays during the search, without the directions, which are large."""
        arrays = {name: values.copy() for name, values in self.arrays().items() if name != "directions"}
        arrays["directions"] = np.empty((len(self._images), 0, *self._images.shape[1:]), np.float32)
        return arrays | {name: arrays[name][:, :0] for name in ("direction_curvatures", "residual")}
