"""Directions along which the boundary is curved near many images at once.

Averaged over the boundary points z of N images, the normalised shape operators give

    S_mean = 1 / N sum_z P_z H_z P_z / ||g_z||,

each divided by its own ||g||, or a few steep images would own the mean. Its eigenvectors of largest magnitude are the
shared curved directions v_m. Whether they are shared is tested on other points:

    r_m(z) = |v_m^T S_z v_m| / E_u |u^T S_z u|,    u uniform on the tangent unit sphere,

is 1 for a direction like any other. Two subspaces, of two models say, are compared by their principal angles; the mean
of the squared cosines is the share of one that lies in the other, by chance the larger dimension over that of the
space. The spectrum of S_mean is not the mean of the spectra, and signs balance differently in both.

References: Moosavi-Dezfooli et al., Robustness of classifiers to universal perturbations: a geometric perspective, ICLR
2018 (arXiv 1705.09554); Fawzi et al., CVPR 2018; principal angles: Björck and Golub, Math. Comp. 27, 1973.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.geometry.hessian.lanczos import Side, WholeSpaceMap, extreme_eigenvalues, random_tangents
from core.geometry.hessian.second_derivatives import operators_at, require_smooth
from core.geometry.hessian.shape_operator import ShapeOperator
from core.models.classifier import Classifier
from core.result import Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanDirections:
    """Fields of results about eigenvectors of the mean shape operator."""

    directions: np.ndarray = quantity("", "m c h w")  # orthonormal
    curvatures: np.ndarray = quantity("1/ℓ2 pixel", "m")  # of the mean shape operator, descending
    converged: bool = quantity("")
    asymmetry_ratio: float = quantity("", formerly="skew")  # antisymmetric over symmetric part
    scale: float = quantity("ℓ2 pixel")  # h of differences, NaN where second derivatives are exact
    products: int = quantity("")
    fingerprint: str = quantity("", default="")

    def order(self) -> np.ndarray:
        """(m,) the indices of the directions by magnitude of their curvature, largest first."""
        return np.asarray(np.argsort(-np.abs(self.curvatures), kind="stable"))


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedDirections(MeanDirections, Result):
    """Eigenvectors of the mean shape operator of the boundary points of n images."""

    residual: np.ndarray = quantity("1/ℓ2 pixel", "m")
    used: np.ndarray = quantity("", "n")  # images with a boundary point


@counted
def shared_directions(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    count: int = 20,
    *,
    points: BoundaryPoints | None = None,
    side: Side = "largest magnitude",
    method: Literal["auto", "exact", "differences"] = "auto",
    scale: float | None = None,
    tolerance: float = 1e-3,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SharedDirections:
    """Find the directions along which the boundary is most curved, averaged over images.

    Args:
        classifier: the classifier.
        images: finite pixel values, nominally in [0, 1]; leave some out, so that these can test the result.
        count: how many directions.
        points: boundary points of these images, if they are known.
        side: the curvatures of largest magnitude, or half of them from each end.
        method: as in `core.geometry.curvature.profile.curvature_profile`.
        scale: of differences, in ℓ2 pixel.
        tolerance: of ||S_mean v - k v||, relative to the largest |k|.
        seed: of random starting directions.
        on_progress: called with the fraction done.

    Returns:
        The directions.

    Raises:
        ValueError: if there is no image with a boundary point, no direction is asked for, or exact curvatures are asked
            for of a network with kinks.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    if count < 1:
        raise ValueError(f"expected at least one direction, got {count}")
    require_smooth(classifier, method)
    found = points if points is not None else boundary_points(classifier, images)
    if not found.found.any():
        raise ValueError("expected at least one image with a boundary point, got none; allow more steps")
    operators, used_scale = operators_at(classifier, found, method, scale)
    mean = MeanOperator([operator for _, operator in operators])
    ends = extreme_eigenvalues(
        mean, count, side=side, tolerance=tolerance, seed=seed, tick=lambda part: on_progress(min(1.0, part))
    )
    return SharedDirections(
        directions=ends.vectors[0].view(-1, *classifier.input_shape).float().cpu().numpy(),
        curvatures=ends.values[0].cpu().numpy(),
        residual=ends.residual[0].cpu().numpy(),
        converged=bool(ends.converged[0]),
        asymmetry_ratio=float(ends.asymmetry_ratio[0]),
        used=found.found,
        scale=used_scale,
        fingerprint=classifier.fingerprint,
        **spent(products=True),
    )


class MeanOperator(WholeSpaceMap):
    """The mean of shape operators, as one map of all of image space, since their tangent spaces differ."""

    def __init__(self, operators: list[ShapeOperator]) -> None:
        self._operators = operators
        self._count = sum(operator.shape[0] for operator in operators)

    @property
    def shape(self) -> tuple[int, int]:
        """(1, d)."""
        return 1, self._operators[0].shape[1]

    @property
    def device(self) -> torch.device:
        """The device of its vectors."""
        return self._operators[0].device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of sums over many points."""
        return torch.float64

    def __call__(self, vectors: Float[Tensor, "1 b d"]) -> Float[Tensor, "1 b d"]:
        """(1, b, d): the mean of S_z v over all points."""
        total = torch.zeros_like(vectors)
        for operator in self._operators:
            total += operator(vectors.expand(operator.shape[0], -1, -1)).sum(0, keepdim=True)
        return total / self._count


# -- transfer ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvatureTransfer(Result):
    """Curvature of the boundary along given directions relative to random ones; NaN without a boundary point."""

    ratio: np.ndarray = quantity("", "n m")  # r_m(z)
    along: np.ndarray = quantity("1/ℓ2 pixel", "n m")  # v_m^T S_z v_m
    typical: np.ndarray = quantity("1/ℓ2 pixel", "n")  # E |u^T S_z u|
    scale: float = quantity("ℓ2 pixel")
    products: int = quantity("")
    fingerprint: str = quantity("", default="")


@counted
def curvature_transfer(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    directions: Float[Tensor, "m c h w"],
    *,
    points: BoundaryPoints | None = None,
    probes: int = 32,
    method: Literal["auto", "exact", "differences"] = "auto",
    scale: float | None = None,
    seed: int = 0,
) -> CurvatureTransfer:
    """Compare the curvature along given directions with that along random tangent directions.

    Args:
        classifier: the classifier.
        images: not those that the directions come from, or noise (`noise_images`).
        directions: v_m, of any length.
        points: boundary points of these images, if they are known.
        probes: random directions u.
        method: as in `core.geometry.curvature.profile.curvature_profile`.
        scale: of differences, in ℓ2 pixel.
        seed: of the random directions.

    Returns:
        The ratios; for a sphere they are 1 along every tangent direction.

    Raises:
        ValueError: if no probe is allowed, or exact curvatures are asked for of a network with kinks.
        ImageError: if a value is not finite or a shape is not the classifier's.
    """
    if probes < 1:
        raise ValueError(f"expected at least one probe, got {probes}")
    vectors = classifier.accept(directions).double().flatten(1)
    require_smooth(classifier, method)
    found = points if points is not None else boundary_points(classifier, images)
    along = np.full((len(found.points), len(vectors)), np.nan)
    typical = np.full(len(found.points), np.nan)
    operators, used_scale = operators_at(classifier, found, method, scale)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    for rows, operator in operators:
        own = unit.expand(len(rows), -1, -1)
        along[rows] = (own * operator(own)).sum(2).cpu().numpy()
        random = random_tangents(operator, probes, torch.Generator().manual_seed(seed))
        typical[rows] = (random * operator(random)).sum(2).abs().mean(1).cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(along) / typical[:, None]
    return CurvatureTransfer(
        ratio=ratio,
        along=along,
        typical=typical,
        scale=used_scale,
        fingerprint=classifier.fingerprint,
        **spent(products=True),
    )


def noise_images(classifier: Classifier, count: int, seed: int = 0) -> Float[Tensor, "n c h w"]:
    """Images of independent uniform pixels in [0, 1], unlike every picture."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand((count, *classifier.input_shape), generator=generator)
    return drawn.to(classifier.device, classifier.dtype)
