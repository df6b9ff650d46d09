"""A shape operator at one point as a matrix in coordinates of its tangent space, and all of its eigenvalues.

On the CPU LAPACK reduces the matrix in place to tridiagonal form T = Q^T S Q, which takes most of the time. All
eigenvalues of T follow by QR steps; the eigenvectors of those at both ends by bisection and inverse iteration on T, and
multiplied by Q they are those of S: far less work than a second search in S. Inverse iteration may return one vector
twice where both ends share an eigenvalue, as on a ball: where its vectors are not orthonormal, and on a GPU, block
Lanczos finds them instead.

References: Golub and Van Loan, Matrix Computations, 8.3 (reduction to tridiagonal form), 8.4 (bisection).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.hessian.dense import tiles
from core.geometry.hessian.lanczos import Ends, Side, Vectors, WholeSpaceMap, extreme_eigenvalues, unknown_ends

_TOGETHER = 256  # rows of a matrix that are moved together
_REFLECTIONS = 64  # reflections that are applied together
_MOST_STEPS = 16  # of block Lanczos: products with the matrix for each wanted direction
_BLOCK = 4  # directions that share a pass over the matrix
_EXACT = 1e-5  # residuals of the ends, relative to the largest |k|: products with a matrix cost little


@dataclass(frozen=True, eq=False)
class TangentMatrix(WholeSpaceMap):
    """S in coordinates of a tangent space, made symmetric."""

    values: Tensor  # (d - 1, d - 1)
    asymmetry_ratio: float  # of the measured matrix: antisymmetric over symmetric part; NaN where a value is NaN
    basis: TangentBasis

    @property
    def shape(self) -> tuple[int, int]:
        """(1, d - 1): one map of the tangent space."""
        return 1, len(self.values)

    @property
    def device(self) -> torch.device:
        """The device of the matrix."""
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the matrix."""
        return self.values.dtype

    def __call__(self, vectors: Vectors) -> Vectors:
        """S v for vectors in these coordinates."""
        shaped: Tensor = (vectors[0].to(self.values.dtype) @ self.values).to(vectors.dtype)[None]
        return shaped

    def eigenvalues(self, count: int, side: Side, seed: int = 0) -> tuple[Float[Tensor, " k"], Ends]:
        """All principal curvatures, and some of them with their directions in image space.

        Args:
            count: how many directions.
            side: "largest magnitude" or "both ends", half from each.
            seed: of the starting directions of block Lanczos, where it is needed.

        Returns:
            The curvatures, descending, in float64 but computed in the classifier's precision; and the chosen ones with
            their directions. All are NaN where S is not finite.
        """
        count = min(count, self.tangent_dim)
        if not math.isfinite(self.asymmetry_ratio):
            every = torch.full((self.tangent_dim,), torch.nan, dtype=torch.float64, device=self.device)
            return every, unknown_ends(1, count, self.tangent_dim + 1, self.device)
        if self.device.type != "cpu" or self.tangent_dim < 2:
            every, ends = torch.linalg.eigvalsh(self.values).flip(0).double(), None
        else:
            every, ends = self._reduced(count, side)
        if ends is None:
            budget = _MOST_STEPS * count
            ends = extreme_eigenvalues(self, count, side=side, tolerance=_EXACT, block=_BLOCK, seed=seed, budget=budget)
        asymmetry_ratio = torch.full_like(ends.asymmetry_ratio, self.asymmetry_ratio)
        return every, ends._replace(vectors=self.basis.pixels(ends.vectors[0])[None], asymmetry_ratio=asymmetry_ratio)

    def _reduced(self, count: int, side: Side) -> tuple[Tensor, Ends | None]:
        """All eigenvalues and the ends by a tridiagonal matrix; no ends where their vectors are not orthonormal."""
        from scipy.linalg import get_lapack_funcs

        matrix = self.values.numpy().T  # symmetric; the transpose has LAPACK's memory order, so that it works in place
        diagonal = self.values.diagonal().clone()
        reduce, room, find = get_lapack_funcs(("sytrd", "sytrd_lwork", "sterf"), (matrix,))
        _, main, beside, scales, _ = reduce(matrix, lwork=int(room(self.tangent_dim)[0]), overwrite_a=1)
        every, failed = find(main, beside)
        chosen = _ends_of(main, beside, *_sides(every, count, side))
        vectors = None if chosen is None else _reflected(torch.from_numpy(chosen[1]), self.values, scales)
        mirror(self.values)  # restores the triangle that was overwritten
        self.values.diagonal().copy_(diagonal)
        if failed:
            return torch.linalg.eigvalsh(self.values).flip(0).double(), None
        found = torch.from_numpy(every[::-1].astype(np.float64))
        return found, None if chosen is None or vectors is None else self._ends(torch.from_numpy(chosen[0]), vectors)

    def _ends(self, values: Float[Tensor, " m"], vectors: Float[Tensor, "m k"]) -> Ends | None:
        """The ends with their residuals; None where the vectors are not orthonormal."""
        slack = 100 * torch.finfo(vectors.dtype).eps
        if bool(((vectors @ vectors.T - torch.eye(len(vectors)).to(vectors)).abs() > slack).any()):
            return None
        off = self(vectors[None])[0] - values.to(vectors.dtype)[:, None] * vectors
        residual = off.norm(dim=1).double()
        return Ends(
            values[None],
            vectors.double()[None],
            residual[None],
            (residual.amax() <= _EXACT * values.abs().amax())[None],
            residual.new_zeros(1),
            torch.tensor([self.tangent_dim]),
        )


def _sides(values: np.ndarray, count: int, side: Side) -> tuple[int, int]:
    """How many of the ascending values are wanted from the lower end and from the upper one."""
    if side == "both ends":
        return count // 2, count - count // 2
    largest = values[np.argsort(-np.abs(values), kind="stable")[:count]]
    lower = int((largest < 0).sum())
    return lower, count - lower


def _ends_of(main: np.ndarray, beside: np.ndarray, lower: int, upper: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Eigenvalues (m,) of a tridiagonal matrix from its two ends, descending, and their vectors (m, k)."""
    from scipy.linalg import LinAlgError, eigh_tridiagonal

    size, scale = len(main), max(np.abs(main).max(), np.abs(beside).max()) or 1.0  # so that squares do not underflow
    try:
        parts = [
            eigh_tridiagonal(main / scale, beside / scale, select="i", select_range=places, lapack_driver="stebz")
            for places in ((0, lower - 1), (size - upper, size - 1))
            if places[0] <= places[1]
        ]
    except LinAlgError:  # inverse iteration did not converge
        return None
    values, vectors = (np.concatenate(each, -1) for each in zip(*parts, strict=True))
    return values[::-1] * np.float64(scale), vectors.T[::-1].copy()


def _reflected(vectors: Float[Tensor, "m k"], reduced: Float[Tensor, "k k"], scales: np.ndarray) -> Tensor:
    """Q y for vectors y, with Q as LAPACK's reduction leaves it: H_(k-1) ... H_1 for H_i = 1 - s_i v_i v_i^T.

    v_i is row i left of the diagonal, with 1 in place of the entry next to the diagonal. A run of rows V, with the
    lower triangle L of V V^T, subtracts V^T c from y where c_i = s_i (v_i y - sum over j < i of L_ij c_j).
    """
    turned, size = vectors.clone(), len(reduced)
    every = torch.from_numpy(scales).to(vectors)
    for start in range(1, size, _REFLECTIONS):
        end = min(start + _REFLECTIONS, size)
        rows = reduced[start:end, : end - 1].tril(start - 2)
        rows.diagonal(start - 1).fill_(1.0)
        scale = every[start - 1 : end - 1, None]
        system = scale * (rows @ rows.T).tril(-1)
        parts = torch.linalg.solve_triangular(
            system, scale * (rows @ turned[:, : end - 1].T), upper=False, unitriangular=True
        )
        turned[:, : end - 1] -= parts.T @ rows
    return turned


def mirror(matrix: Float[Tensor, "k k"]) -> None:
    """Copy the upper triangle to the lower one."""
    for rows, columns in tiles(len(matrix)):
        below = matrix[rows, columns]
        if rows == columns:
            below.copy_(below.triu() + below.triu(1).T)
        else:
            below.copy_(matrix[columns, rows].T)


class TangentBasis:
    """An orthonormal basis of the complement of a unit vector: a Householder reflection, optionally mixed at random."""

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

    def inside(self, matrix: Float[Tensor, "d d"], factor: float) -> Float[Tensor, "k k"]:
        """A symmetric matrix M of image space times a factor, in these coordinates and in the memory of M.

        With the reflection I - 2 m m^T and w = 2 M m - 2 (m^T M m) m, M reflected from both sides is M - m w^T - w m^T.
        """
        mirror = self._mirror.to(matrix.dtype)
        turned = 2 * (matrix @ mirror)
        turned -= (mirror @ turned) * mirror
        left, right = torch.stack([mirror, turned])[:, 1:], torch.stack([turned, mirror])[:, 1:]
        size = len(matrix) - 1
        inner = matrix.view(-1)[: size * size].view(size, size)
        for start in range(0, size, _TOGETHER):  # each block is written before the entries that are still to be read
            rows = slice(start, min(start + _TOGETHER, size))
            inner[rows] = torch.addmm(matrix[1:, 1:][rows], left[:, rows].T, right, beta=factor, alpha=-factor)
        return inner

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
