"""How a decision boundary bends: its shape operator at points of it.

Where F = f_s - f_t = 0 is the boundary, g = grad F and H the second derivative there, n = g / ||g|| the normal to the
source side and P = I - n n^T, the shape operator is

    S = P H P / ||g||.

Its d - 1 eigenvalues on the tangent space are the principal curvatures, in 1 / length; v^T S v is the curvature of the
curve that the plane of n and the tangent unit vector v cuts out of the boundary. A tangent step t v changes F by
k ||g|| t² / 2:

    k < 0  it leaves the source class: the boundary closes around it, which is convex in that direction;
    k > 0  it enters the source class, which wraps around a convex target class.

S belongs to the set F = 0 alone: it is the same for F and for every increasing function of F that keeps the 0.

References: do Carmo, Differential Geometry of Curves and Surfaces, chapter 3; Fawzi, Moosavi-Dezfooli, Frossard,
Soatto, Empirical study of the topology and geometry of deep networks, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.hessian import HessianProducts, Vectors


class ShapeOperator:
    """v -> S v at n points of boundaries, in the precision of v around products in the classifier's.

    Args:
        products: of the second derivative, at the points.
        gradient: (n, d) of F there; computed when None.
    """

    def __init__(self, products: HessianProducts, gradient: Float[Tensor, "n d"] | None = None) -> None:
        self.products = products
        self.gradient = products.gradient().double() if gradient is None else gradient
        self.steepness = self.gradient.norm(dim=1)
        self.normals = self.gradient / self.steepness.clamp(min=torch.finfo(torch.float64).tiny)[:, None]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): points, values of an image."""
        return self.products.shape

    @property
    def freedom(self) -> int:
        """The dimension of the tangent spaces."""
        return self.shape[1] - 1

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.gradient.device

    @property
    def dtype(self) -> torch.dtype:
        """In which precision products are known."""
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
    def across(self) -> Float[Tensor, "n 1 d"]:
        """The normals."""
        normals: Tensor = self.normals[:, None]
        return normals

    def __call__(self, vectors: Vectors) -> Vectors:
        """(n, b, d): S v for b vectors at each point, in the precision of the vectors."""
        return self.tangential(self.untrimmed(self.tangential(vectors)))

    def untrimmed(self, vectors: Vectors) -> Vectors:
        """(n, b, d): H v / ||g|| of b tangential vectors at each point: S v and a part along the normal."""
        bent = self.products(vectors.to(self.products.dtype)).to(vectors.dtype)
        shaped: Tensor = bent / self.steepness.to(vectors.dtype)[:, None, None]
        return shaped

    def along(self, vectors: Vectors) -> Float[Tensor, "n b"]:
        """The normal curvature along each vector's tangential part; NaN where it has none."""
        tangent = self.tangential(vectors.double())
        sizes = tangent.norm(dim=2, keepdim=True)
        unit = tangent / sizes.where(sizes > 1e-9 * vectors.double().norm(dim=2, keepdim=True), torch.nan)
        usable = unit.nan_to_num(0.0)
        bends: Tensor = (usable * self(usable)).sum(2).where(torch.isfinite(unit).all(2), torch.nan)
        return bends

    def matrix(self, row: int, seed: int = 0, tick: Callable[[float], None] = lambda part: None) -> TangentMatrix:
        """All of S at one point, in an orthonormal basis of its tangent space: d - 1 products.

        Differences are not linear in the direction, so that the basis matters: theirs is random, since a step along
        one pixel alone is like no other. Exact products use the reflection that takes the normal to the first axis.
        `tick` is told the fraction of columns done.
        """
        here = self.select(torch.tensor([row], device=self.device))
        mixed = self.products.backend == "differences"
        basis = _TangentBasis(here.normals[0], seed if mixed else None)
        size = here.shape[1] - 1
        measured = torch.empty((size, size), dtype=here.products.dtype, device=self.device)
        for start in range(0, size, here.products.width):
            tick(start / size)
            end = min(start + here.products.width, size)
            bent = here.products(basis.columns(start, end, measured.dtype)[None])[0]
            measured[start:end] = basis.coordinates(bent) / here.steepness.to(measured.dtype)
        symmetric = (measured + measured.T).div_(2)
        difference, total = measured.sub_(symmetric).norm(), symmetric.norm()
        skew = float(difference / total) if total > 0 else 0.0
        return TangentMatrix(symmetric, skew, basis)


@dataclass(frozen=True, eq=False)
class TangentMatrix:
    """S in coordinates of a tangent space, made symmetric."""

    values: Tensor  # (d - 1, d - 1)
    skew: float  # norm of the antisymmetric part over that of the symmetric one, before
    basis: _TangentBasis

    @property
    def shape(self) -> tuple[int, int]:
        """(1, d - 1): as an operator."""
        return 1, len(self.values)

    @property
    def freedom(self) -> int:
        """The dimension of the tangent space."""
        return len(self.values)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it is."""
        return self.values.dtype

    def select(self, rows: Int[Tensor, " m"]) -> TangentMatrix:
        """The same."""
        return self

    @property
    def across(self) -> Float[Tensor, "1 0 k"]:
        """None."""
        return self.values.new_empty((1, 0, len(self.values)))

    def tangential(self, vectors: Vectors) -> Vectors:
        """The vectors: all of them are tangential."""
        return vectors

    def untrimmed(self, vectors: Vectors) -> Vectors:
        """As called."""
        return self(vectors)

    def __call__(self, vectors: Vectors) -> Vectors:
        """S v of vectors in these coordinates."""
        shaped: Tensor = (vectors[0].to(self.values.dtype) @ self.values).to(vectors.dtype)[None]
        return shaped

    def eigenvalues(self) -> Float[Tensor, " k"]:
        """All principal curvatures, descending, in float64; computed in the classifier's precision."""
        values: Tensor = torch.linalg.eigvalsh(self.values).flip(0).double()
        return values

    def pixels(self, vectors: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Vectors of these coordinates in image space."""
        return self.basis.pixels(vectors)


class _TangentBasis:
    """An orthonormal basis of what is orthogonal to a unit vector: a Householder reflection, mixed at random or not."""

    def __init__(self, normal: Tensor, seed: int | None) -> None:
        self._mirror = normal.clone()
        self._mirror[0] += 1.0 if normal[0] >= 0 else -1.0
        self._mirror /= self._mirror.norm()
        self._mix: Tensor | None = None
        if seed is not None:
            from scipy.fft import dct

            size = len(normal) - 1
            generator = torch.Generator().manual_seed(seed)
            signs = torch.randint(0, 2, (size,), generator=generator).double() * 2 - 1
            cosines = torch.from_numpy(dct(torch.eye(size, dtype=torch.float64).numpy(), norm="ortho", axis=0))
            self._mix = (cosines * signs).to(normal.device)  # rows: cosines with random signs, an orthonormal basis

    def columns(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """Basis vectors in image space."""
        size = len(self._mirror) - 1
        if self._mix is not None:
            return self._reflected(self._mix[start:end]).to(dtype)
        rows = torch.zeros((end - start, size), dtype=dtype, device=self._mirror.device)
        rows[torch.arange(end - start), torch.arange(start, end)] = 1
        return self._reflected(rows)

    def coordinates(self, vectors: Tensor) -> Tensor:
        """Coordinates of the tangential parts of vectors."""
        mirror = self._mirror.to(vectors.dtype)
        inner = (vectors - 2 * (vectors @ mirror)[:, None] * mirror)[:, 1:]
        return inner if self._mix is None else inner @ self._mix.to(vectors.dtype).T

    def pixels(self, coordinates: Tensor) -> Tensor:
        """Back to image space."""
        return self._reflected(coordinates if self._mix is None else coordinates @ self._mix)

    def _reflected(self, inner: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(inner, (1, 0))
        mirror = self._mirror.to(padded.dtype)
        return padded - 2 * (padded @ mirror)[:, None] * mirror
