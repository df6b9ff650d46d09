"""Classifiers whose boundary is known on paper: nulls with an exact answer beside the computed one.

    hyperplane   two class means m_a, m_b: the side of the plane halfway between them
    voronoi      the class whose mean is nearest
    ball         inside or outside a ball around the mean image, with half of the images inside

The classes are those of a model, and the means those of its image set, so that the answer is about the same images: a
is the class of the chosen image and b the one whose mean is nearest to m_a. Logits are in ℓ2 lengths: of a hyperplane
and a ball the margin is the distance to first order. Classes that cannot win stay below all images of the pixel box.

Lengths are ℓ2 over pixels, and like all geometry here about the function, which does not stop at the pixel box.

References: power diagrams: Aurenhammer, SIAM Journal on Computing 16, 1987; the sphere's curvature: do Carmo,
Differential Geometry of Curves and Surfaces.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import CheckpointError
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.sources.models import ANALYTIC_KINDS

Extent = tuple[float, float, float, float]  # x_min, x_max, y_min, y_max in plane coordinates
Projection = Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n c h w"]]

_CELLS = 16  # per side of a plane's square: in each, classes that cannot win there are dropped before lines are cut
_ARC = 181  # points of an arc


class Known(nn.Module, ABC):
    """A classifier that knows its own geometry; all answers are float64."""

    @abstractmethod
    def distance(self, images: Float[Tensor, "n c h w"], project: Projection | None = None) -> Float[Tensor, " n"]:
        """The exact ℓ2 distance of each image to the boundary.

        Args:
            images: pixel values.
            project: the orthogonal projection onto a subspace, where only changes inside it count.

        Returns:
            ℓ2 lengths; infinite where the boundary is not reached.
        """

    @abstractmethod
    def curvature(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """All principal curvatures at the boundary point nearest to each image: here they are equal, in 1 / ℓ2.

        Negative where the class of the image is the convex one.
        """

    @abstractmethod
    def lines(
        self, origin: Float[Tensor, "c h w"], axes: Float[Tensor, "2 c h w"], extent: Extent
    ) -> tuple[np.ndarray, ...]:
        """The exact boundary on a square of a plane.

        Args:
            origin: the image at plane coordinates 0.
            axes: orthonormal.
            extent: of the square, in ℓ2 lengths.

        Returns:
            Polylines (points, 2) in plane coordinates.
        """


class Affine(Known):
    """Logits W (x - x0) + z: flat boundaries.

    Where class y wins, its region is the intersection of the half-spaces in which it beats each other class k, so the
    distance to the boundary is the smallest (z_y - z_k) / |w_y - w_k|. All curvatures are 0.

    Args:
        weight: W (k, d).
        value: z (k,), the logits at x0.
        centre: x0 (c, h, w).
    """

    def __init__(self, weight: Tensor, value: Tensor, centre: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], len(weight), device="meta")
        self.linear.weight, self.linear.bias = nn.Parameter(weight.contiguous()), nn.Parameter(value.clone())
        self.centre = nn.Parameter(centre.clone())

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images."""
        logits: Tensor = self.linear((images - self.centre).flatten(1))
        return logits

    def distance(self, images: Float[Tensor, "n c h w"], project: Projection | None = None) -> Float[Tensor, " n"]:
        """See `Known.distance`."""
        logits = self._exactly(images)
        lead, winner = logits.max(1)
        rows = self.linear.weight.detach().double()
        if project is not None:
            rows = project(rows.view(-1, *self.centre.shape)).flatten(1)
        apart = torch.cdist(rows[winner], rows, compute_mode="donot_use_mm_for_euclid_dist")
        ways = (lead[:, None] - logits) / apart
        return ways.scatter(1, winner[:, None], math.inf).nan_to_num(nan=math.inf, posinf=math.inf).amin(1)

    def curvature(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """0: see `Known.curvature`."""
        return torch.zeros(len(images), dtype=torch.float64)

    def lines(
        self, origin: Float[Tensor, "c h w"], axes: Float[Tensor, "2 c h w"], extent: Extent
    ) -> tuple[np.ndarray, ...]:
        """A segment for each two classes that share a border: see `Known.lines`."""
        rows = self.linear.weight.detach().double()
        slopes = (rows @ axes.to(rows).flatten(1).T).cpu().numpy()
        return _borders(slopes, self._exactly(origin[None])[0].cpu().numpy(), extent)

    def _exactly(self, images: Tensor) -> Float[Tensor, "n k"]:
        rows, centre = self.linear.weight.detach().double(), self.centre.detach().double()
        return (images.to(rows) - centre).flatten(1) @ rows.T + self.linear.bias.detach().double()


class Ball(Known):
    """One class inside a ball and one outside; s = (r² - |x - c|²) / 2 r is their margin.

    The distance to the boundary is | |x - c| - r |. Every principal curvature is 1 / r, negative from inside, where the
    class of the image is the convex one. A plane at distance h from the centre cuts it in a circle of radius
    sqrt(r² - h²).

    Args:
        centre: c (c, h, w).
        radius: r.
        inside: index of the class inside.
        outside: index of the class outside.
        classes: how many there are; the others never win.
    """

    def __init__(self, centre: Tensor, radius: float, inside: int, outside: int, classes: int) -> None:
        super().__init__()
        self.depth, self.head = _Depth(centre, float(radius)), nn.Linear(1, classes, device="meta")
        share = torch.zeros((classes, 1), dtype=centre.dtype)
        share[inside], share[outside] = 0.5, -0.5
        floor = torch.full((classes,), -(radius + centre.numel() / radius), dtype=centre.dtype)
        floor[[inside, outside]] = 0
        self.head.weight, self.head.bias = nn.Parameter(share), nn.Parameter(floor)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images."""
        logits: Tensor = self.head(self.depth(images))
        return logits

    @property
    def radius(self) -> float:
        """The radius, in ℓ2."""
        return self.depth.radius

    def distance(self, images: Float[Tensor, "n c h w"], project: Projection | None = None) -> Float[Tensor, " n"]:
        """Inside a subspace, the way to the sphere runs along the part of x - c in it: see `Known.distance`."""
        offset = self.depth.offset(images)
        within = offset if project is None else project(offset)
        length = within.flatten(1).norm(dim=1)
        left = self.radius**2 - (offset - within).flatten(1).square().sum(1)
        away: Tensor = (left.clamp(min=0).sqrt() - length).abs().where(left >= 0, math.inf)
        return away

    def curvature(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """1 / r with its sign: see `Known.curvature`."""
        away = self.depth.offset(images).flatten(1).norm(dim=1)
        bend: Tensor = (away - self.radius).sign() / self.radius
        return bend

    def lines(
        self, origin: Float[Tensor, "c h w"], axes: Float[Tensor, "2 c h w"], extent: Extent
    ) -> tuple[np.ndarray, ...]:
        """Arcs of a circle: see `Known.lines`."""
        offset = -self.depth.offset(origin[None]).flatten().cpu()
        middle = axes.double().cpu().flatten(1) @ offset
        squared = self.radius**2 - float(offset.square().sum() - middle.square().sum())
        return _arcs(middle.numpy(), math.sqrt(squared), extent) if squared > 0 else ()


class _Depth(nn.Module):
    """How far inside of a ball, to first order at its surface: (r² - |x - c|²) / 2 r."""

    def __init__(self, centre: Tensor, radius: float) -> None:
        super().__init__()
        self.centre, self.radius = nn.Parameter(centre.clone()), radius

    def forward(self, images: Tensor) -> Tensor:
        beyond = (images - self.centre).flatten(1).square().sum(1, keepdim=True)
        return (self.radius**2 - beyond) / (2 * self.radius)

    def offset(self, images: Tensor) -> Tensor:
        """From the centre, in float64."""
        centre = self.centre.detach().double()
        return images.to(centre) - centre


def known(classifier: Classifier) -> Known | None:
    """The exact answers of a classifier that has them, else None."""
    return classifier.module if isinstance(classifier.module, Known) else None


def analytic_classifier(classifier: Classifier, kind: str, images: ImageSet, row: int) -> Classifier:
    """A classifier known on paper, of the images and classes of another one.

    Args:
        classifier: whose image format, classes and device it has; its weights do not matter, but that images without a
            label have the class that it predicts.
        kind: "hyperplane", "ball" or "voronoi".
        images: the set that means and radius are taken of.
        row: the chosen image.

    Returns:
        The classifier; `known` gives its exact answers. Of a ball, classes a and b are called "inside" and "outside".

    Raises:
        CheckpointError: if there is no such kind, no such row, or no two classes in the set.
        ImageError: if the images are not of the classifier's shape.

    Example:
        >>> from core.models.load import load_classifier
        >>> ball = load_classifier("analytic:ball:demo:digits/standard?row=3", "cpu")
        >>> ball.name, sorted(set(ball.class_names) - set(map(str, range(10))))
        ('ball around the mean image', ['inside', 'outside'])
    """
    if kind not in ANALYTIC_KINDS:
        raise CheckpointError(f"expected an analytic model out of {', '.join(ANALYTIC_KINDS)}, got {kind[:40]!r}")
    if not 0 <= row < len(images):
        raise CheckpointError(f"expected a row below {len(images)}, the size of {images.source}, got {row}")
    pixels, count = classifier.accept(images.pixels).double().cpu(), classifier.num_classes
    labels = images.labels
    if not bool(((labels >= 0) & (labels < count)).all()):
        labels = torch.from_numpy(np.asarray(classifier.predict(images.pixels).label)).long()
    present = labels[labels >= 0].unique()
    mine = int(labels[row])
    if len(present) < 2 or mine < 0:
        raise CheckpointError(f"expected images of two classes or more, got {len(present)} in {images.source}")
    means = torch.stack([pixels[labels == k].mean(0) for k in present.tolist()])
    index = int((present == mine).nonzero()[0])
    distances = (means - means[index]).flatten(1).norm(dim=1)
    distances[index] = math.inf
    near = int(distances.argmin())
    names, other = list(classifier.class_names), int(present[near])
    dtype = classifier.dtype
    if kind == "ball":
        middle = pixels.mean(0)
        radius = float((pixels - middle).flatten(1).norm(dim=1).quantile(0.5))
        if radius == 0 or not math.isfinite(radius):
            raise CheckpointError(f"expected images that differ, half of {images.source} are alike; choose others")
        module: Known = Ball(middle.to(dtype), radius, mine, other, count)
        title = "ball around the mean image"
        names[mine], names[other] = "inside", "outside"
    elif kind == "hyperplane":
        module = _nearest(means[[index, near]], present[[index, near]], count, dtype)
        title = f"hyperplane {names[mine]} | {names[other]}"
    else:
        module = _nearest(means, present, count, dtype)
        title = "Voronoi cells of class means"
    return Classifier(module, classifier.input_shape, names, name=title, device=classifier.device)


def _nearest(means: Tensor, present: Tensor, count: int, dtype: torch.dtype) -> Affine:
    """The class of the nearest mean: -|x - m|² / 2 without what all share, over the mean distance between means."""
    middle = means.mean(0)
    offsets = (means - middle).flatten(1)
    distances = torch.pdist(means.flatten(1))
    if float(distances.min()) == 0:
        raise CheckpointError("expected class means that differ, two are alike; choose other images")
    scale = float(distances.mean())
    weight = torch.zeros((count, offsets.shape[1]), dtype=torch.float64)
    weight[present] = offsets / scale
    values = -offsets.square().sum(1) / (2 * scale)
    # weights sum to 0, so that the mean logit is the same everywhere, and the largest never below the smallest value
    floor = float(values.min()) - 2 * math.sqrt(offsets.shape[1])
    value = torch.full((count,), floor, dtype=torch.float64)
    value[present] = values
    return Affine(weight.to(dtype), value.to(dtype), middle.to(dtype))


# -- on a plane -------------------------------------------------------------------------------------------------------


def _borders(slopes: np.ndarray, values: np.ndarray, extent: Extent) -> tuple[np.ndarray, ...]:
    """Segments where the two largest of k affine functions slopes . p + values agree, within a square."""
    x_min, x_max, y_min, y_max = extent
    classes = _candidates(slopes, values, extent)
    slopes, values = slopes[classes], values[classes]
    inside = np.array([[1, 0, -x_min], [-1, 0, x_max], [0, 1, -y_min], [0, -1, y_max]], np.float64)
    middle = np.array([(x_min + x_max) / 2, (y_min + y_max) / 2])
    found = []
    for one in range(len(classes) - 1):
        across, level = slopes[one] - slopes[one + 1 :], values[one] - values[one + 1 :]
        length = np.hypot(*across.T)
        for other in np.flatnonzero(length > 0).tolist():
            normal = across[other] / length[other]
            foot = middle - normal * (normal @ middle + level[other] / length[other])
            way = np.array([-normal[1], normal[0]])
            beaten = np.delete(slopes[one] - slopes, [one, one + 1 + other], 0)
            by = np.delete(values[one] - values, [one, one + 1 + other])
            low, high = _interval(
                np.concatenate([beaten @ foot + by, inside[:, :2] @ foot + inside[:, 2]]),
                np.concatenate([beaten @ way, inside[:, :2] @ way]),
            )
            if low < high:
                found.append(np.stack([foot + low * way, foot + high * way]))
    return tuple(found)


def _interval(start: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    """Where all of start + slope t are at least 0."""
    still = slope == 0
    if (start[still] < 0).any():
        return 0.0, 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = -start / slope
    return float(zero[slope > 0].max(initial=-np.inf)), float(zero[slope < 0].min(initial=np.inf))


def _candidates(slopes: np.ndarray, values: np.ndarray, extent: Extent) -> np.ndarray:
    """The classes that may win somewhere on a square: affine functions have their extremes in the corners of cells."""
    x, y = np.linspace(*extent[:2], _CELLS + 1), np.linspace(*extent[2:], _CELLS + 1)
    at = slopes[:, 0] * x[:, None, None] + slopes[:, 1] * y[None, :, None] + values
    corners = np.stack([at[:-1, :-1], at[1:, :-1], at[:-1, 1:], at[1:, 1:]])
    may: Any = (corners.max(0) >= corners.min(0).max(-1, keepdims=True)).any((0, 1))
    return np.flatnonzero(may)


def _arcs(middle: np.ndarray, radius: float, extent: Extent) -> tuple[np.ndarray, ...]:
    """The parts of a circle that lie in a square."""
    angles = [0.0]
    for axis, edges in ((0, extent[:2]), (1, extent[2:])):
        for edge in edges:
            height = (edge - middle[axis]) / radius
            if abs(height) < 1:
                first = math.acos(height) if axis == 0 else math.asin(height)
                angles += [first, -first] if axis == 0 else [first, math.pi - first]
    turns = np.unique(np.mod(angles, 2 * math.pi))
    ends = np.append(turns, turns[0] + 2 * math.pi)
    found = []
    for start, end in itertools.pairwise(ends):
        x, y = middle + radius * np.array([math.cos((start + end) / 2), math.sin((start + end) / 2)])
        if extent[0] <= x <= extent[1] and extent[2] <= y <= extent[3]:
            turn = np.linspace(start, end, _ARC)
            found.append(middle + radius * np.stack([np.cos(turn), np.sin(turn)], 1))
    return tuple(found)
