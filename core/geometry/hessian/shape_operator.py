"""The shape operator of a decision boundary at its points.

Where F = f_s - f_t = 0 is the boundary, g = grad F and H the second derivative there, n = g / ||g|| the normal to the
source side and P = I - n n^T, the shape operator is

    S = P H P / ||g||.

Its d - 1 eigenvalues on the tangent space are the principal curvatures, in 1 / length; v^T S v is the curvature of the
curve that the plane of n and the tangent unit vector v cuts out of the boundary. A tangent step t v changes F by
k ||g|| t² / 2:

    k < 0  it leaves the source class: the boundary closes around it, which is convex in that direction;
    k > 0  it enters the source class, which wraps around a convex target class.

S depends on the set F = 0 alone: it is the same for F and for every increasing function of F that keeps the 0.

References: do Carmo, Differential Geometry of Curves and Surfaces, chapter 3; Fawzi, Moosavi-Dezfooli, Frossard,
Soatto, Empirical study of the topology and geometry of deep networks, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.hessian.dense import hessian_matrix, symmetrise
from core.geometry.hessian.products import HessianProducts, Vectors
from core.geometry.hessian.tangent_matrix import TangentBasis, TangentMatrix


class ShapeOperator:
    """v -> S v at n boundary points, in the precision of v except for the products, which are in the classifier's.

    Args:
        products: of the second derivative, at the points.
        gradient: (n, d) of F there; computed when None.
    """

    def __init__(self, products: HessianProducts, gradient: Float[Tensor, "n d"] | None = None) -> None:
        self.products = products
        self.gradient = products.gradient().double() if gradient is None else gradient
        self.steepness = self.gradient.norm(dim=1)
        self.normals: Tensor = self.gradient / self.steepness.clamp(min=torch.finfo(torch.float64).tiny)[:, None]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): the numbers of points and of values of an image."""
        return self.products.shape

    @property
    def tangent_dim(self) -> int:
        """The dimension of the tangent spaces."""
        return self.shape[1] - 1

    @property
    def device(self) -> torch.device:
        """The device of its vectors."""
        return self.gradient.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its products."""
        return self.products.dtype

    def select(self, rows: Int[Tensor, " m"]) -> ShapeOperator:
        """The same at some of the points."""
        return ShapeOperator(self.products.select(rows), self.gradient[rows])

    def tangential(self, vectors: Vectors) -> Vectors:
        """The vectors without their part along the normal."""
        normals = self.normals.to(vectors.dtype)
        tangential: Tensor = vectors - (vectors @ normals[:, :, None]) * normals[:, None]
        return tangential

    @property
    def normal_basis(self) -> Float[Tensor, "n 1 d"]:
        """The normals."""
        return self.normals[:, None]

    def __call__(self, vectors: Vectors) -> Vectors:
        """(n, b, d): S v for b vectors at each point, in the precision of the vectors."""
        return self.tangential(self.apply_unprojected(self.tangential(vectors)))

    def apply_unprojected(self, vectors: Vectors) -> Vectors:
        """(n, b, d): H v / ||g|| of b tangential vectors at each point: S v and a part along the normal."""
        second = self.products(vectors.to(self.products.dtype)).to(vectors.dtype)
        shaped: Tensor = second / self.steepness.to(vectors.dtype)[:, None, None]
        return shaped

    def along(self, vectors: Vectors) -> Float[Tensor, "n b"]:
        """The normal curvature along each vector's tangential part; NaN where it has none."""
        tangent = self.tangential(vectors.double())
        sizes = tangent.norm(dim=2, keepdim=True)
        unit = tangent / sizes.where(sizes > 1e-9 * vectors.double().norm(dim=2, keepdim=True), torch.nan)
        usable = unit.nan_to_num(0.0)
        curvature: Tensor = (usable * self(usable)).sum(2).where(torch.isfinite(unit).all(2), torch.nan)
        return curvature

    def matrix(
        self,
        row: int,
        seed: int = 0,
        tick: Callable[[float], None] = lambda part: None,
        memory: Float[Tensor, " m"] | None = None,
    ) -> TangentMatrix:
        """All of S at one point, in an orthonormal basis of its tangent space: d or d - 1 products.

        Differences are not linear in the direction, so that the basis matters: theirs is random, since steps along
        single pixels are untypical. Exact products are computed along the pixels; the matrix is then reflected by the
        reflection that maps the normal to the first axis.

        Args:
            row: the point.
            seed: of the random basis.
            tick: called with the fraction of columns done.
            memory: a buffer of at least d² values that holds the matrix; a new one when None.

        Returns:
            The matrix.
        """
        here = self.select(torch.tensor([row], device=self.device))
        size = here.tangent_dim
        if self.products.backend != "differences":
            hessian, asymmetry_ratio = hessian_matrix(here.products, tick, memory)
            basis = TangentBasis(here.normals[0], None)
            return TangentMatrix(basis.inside(hessian, 1 / float(here.steepness)), asymmetry_ratio, basis)
        basis = TangentBasis(here.normals[0], seed)
        if memory is None:
            memory = torch.empty(size**2, dtype=here.products.dtype, device=self.device)
        measured = memory[: size**2].view(size, size)
        for start in range(0, size, here.products.width):
            tick(start / size)
            end = min(start + here.products.width, size)
            moved = here.products(basis.columns(start, end, measured.dtype)[None])[0]
            torch.div(basis.coordinates(moved), here.steepness.to(measured.dtype), out=measured[start:end])
        return TangentMatrix(measured, symmetrise(measured), basis)
