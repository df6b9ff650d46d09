"""Ends, mean and density of the spectra of operators that are known only by their products; several at once.

*Ends* (`extreme_eigenvalues`). Block Lanczos: an orthonormal basis V of span(Q, S Q, S² Q, ...) grows by b directions a
step and is orthogonalised against all of itself twice; without that, copies of found eigenvalues appear. Eigenvalues
of V^T S V converge to both ends of the spectrum first. For a pair (k, v), k is within ||S v - k v|| of a true
eigenvalue; the search ends when that is a small part of the largest |k| for all wanted pairs. An eigenvalue of higher
multiplicity is counted at least once, and at most as often as a block has directions. Since S V is kept, all of
V^T S V is measured: its antisymmetric part says how far finite differences are from a symmetric matrix.

*Mean* (`hutchinson`). E[u^T S u] = tr S / (d - 1) for u uniform on the tangent unit sphere.

*Density* (`quadrature`). Lanczos from random unit vectors: the eigenvalues of the small tridiagonal matrices are the
nodes, the squared first entries of their eigenvectors the weights of a Gauss rule for the density of eigenvalues.

References: Golub and Underwood, The block Lanczos method, 1977; Parlett, The Symmetric Eigenvalue Problem, 1980;
Hutchinson, Comm. Stat. Simul. 19, 1990; Ubaru, Chen, Saad, Fast estimation of tr(f(A)), SIMAX 38, 2017.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule

Side = Literal["largest magnitude", "both ends"]

Vectors = Float[Tensor, "n b d"]

_LOST = 1e3  # rounding errors of the largest |k|: a shorter remainder of a direction is replaced by a random one
_DEPENDENT = 1e-3  # ratio of sizes within a block: below it a direction is nearly a combination of the others
_NEAR = 8.0  # tolerances: with smaller residuals, convergence is checked more often
_COMPACT = 0.3  # share of finished rows that is worth removing


@runtime_checkable
class Operator(Protocol):
    """n symmetric maps of the tangent spaces of n points."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""

    @property
    def tangent_dim(self) -> int:
        """The dimension of the tangent spaces."""

    @property
    def device(self) -> torch.device:
        """The device of its vectors."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its products."""

    def select(self, rows: Int[Tensor, " m"]) -> Self:
        """Some of the maps."""

    @property
    def normal_basis(self) -> Float[Tensor, "n m d"]:
        """Unit vectors orthogonal to the tangent spaces: one each, or none."""

    def tangential(self, vectors: Vectors) -> Vectors:
        """The vectors' parts in the tangent spaces."""

    def __call__(self, vectors: Vectors) -> Vectors:
        """The images of b vectors under each map, in the precision of the vectors."""

    def apply_unprojected(self, vectors: Vectors) -> Vectors:
        """The same for tangential vectors, not projected onto the tangent spaces."""


class WholeSpaceMap(Operator):
    """A base class of operators that are one symmetric map of a whole space, where every vector is tangential."""

    @property
    def tangent_dim(self) -> int:
        """The dimension of the space."""
        return self.shape[1]

    def select(self, rows: Int[Tensor, " m"]) -> Self:
        """The same: there is one map."""
        return self

    @property
    def normal_basis(self) -> Float[Tensor, "1 0 d"]:
        """No vectors."""
        return torch.empty((1, 0, self.tangent_dim), dtype=self.dtype, device=self.device)

    def tangential(self, vectors: Vectors) -> Vectors:
        """The vectors."""
        return vectors

    def apply_unprojected(self, vectors: Vectors) -> Vectors:
        """The map itself."""
        return self(vectors)


Watch = Callable[[Int[Tensor, " r"], Float[Tensor, "r k"], Float[Tensor, "r k"]], None]


class Ends(NamedTuple):
    """m eigenvalues of each of n maps, descending, with what they rest on; all float64."""

    values: Float[Tensor, "n m"]
    vectors: Float[Tensor, "n m d"]
    residual: Float[Tensor, "n m"]  # ||S v - k v||
    converged: Bool[Tensor, " n"]
    asymmetry_ratio: Float[Tensor, " n"]  # norm of the antisymmetric part of V^T S V over that of the symmetric one
    steps: Int[Tensor, " n"]  # products of each map


def extreme_eigenvalues(
    operator: Operator,
    count: int,
    *,
    side: Side = "largest magnitude",
    tolerance: float = 1e-3,
    block: int = 1,
    budget: int | None = None,
    seed: int = 0,
    tick: Callable[[float], None] = lambda part: None,
    watch: Watch = lambda rows, values, residual: None,
) -> Ends:
    """The eigenvalues of largest magnitude, or half of them from each end.

    Args:
        operator: the maps.
        count: how many eigenvalues of each map.
        side: "largest magnitude" or "both ends".
        tolerance: of ||S v - k v||, relative to the largest |k|. The errors of the eigenvalues are its square over the
            gap.
        block: directions per step.
        budget: most products of each map; 40 more than 6 times the count when None.
        seed: of the starting directions.
        tick: called with the fraction of the budget spent.
        watch: called before each tick with the rows still searched, their eigenvalues so far and estimates of the
            residuals.

    Returns:
        The eigenvalues; those of maps that did not converge are the best found.
    """
    rows, tangent_dim = operator.shape[0], operator.tangent_dim
    count = min(count, tangent_dim)
    most = min(max(budget if budget is not None else 6 * count + 40, count), tangent_dim)
    block = 1 if most == tangent_dim else min(block, most)
    search = _Krylov(operator, most, block, seed)
    ends = unknown_ends(rows, count, operator.shape[1], operator.device)
    active = torch.arange(rows, device=operator.device)
    drops = compaction_schedule(-(-most // block), operator.device)
    near = False
    for step in itertools.count(1):
        search.step()
        full = search.size + block > most
        often = 6 if near else 12
        if not full and (search.size < count + block or (step * block) % often >= block or step not in drops):
            continue
        values, estimate = search.estimate(count, side)
        worst = (estimate / values.abs().amax(1, keepdim=True)).nan_to_num(0.0).amax(1) / tolerance
        finished, near = worst <= 1, bool(worst.amin() <= _NEAR)
        watch(active, values, estimate)
        tick(search.size / most)
        if full or bool(finished.all()) or float(finished.double().mean()) >= _COMPACT:
            done = torch.ones_like(finished) if full else finished
            search.finish(ends, active, done, finished)
            if full or bool(done.all()):
                break
            active = active[search.keep(~done)]
    return ends


def unknown_ends(rows: int, count: int, dimension: int, device: torch.device) -> Ends:
    """Ends of which nothing is known: NaN, and not converged after 0 steps."""

    def unknown(*sizes: int) -> Tensor:
        return torch.full(sizes, torch.nan, dtype=torch.float64, device=device)

    none = torch.zeros(rows, dtype=torch.int64, device=device)
    return Ends(
        unknown(rows, count), unknown(rows, count, dimension), unknown(rows, count), none > 0, unknown(rows), none
    )


class _Krylov:
    """Growing bases V of n spaces, with S V, in the precision of S, and V^T S V in float64."""

    def __init__(self, operator: Operator, most: int, block: int, seed: int) -> None:
        rows, dimension = operator.shape
        self._operator, self._block = operator, block
        self._generator = torch.Generator().manual_seed(seed)
        most += block
        normal_basis = operator.normal_basis
        self._codim = normal_basis.shape[1]
        self._whole = torch.empty(  # the normals come first, so that one pass projects them out of a vector as well
            (rows, self._codim + most, dimension), dtype=operator.dtype, device=operator.device
        )
        self._whole[:, : self._codim] = normal_basis
        self._basis = self._whole[:, self._codim :]
        self._mapped = torch.empty_like(self._basis)
        self._lost = _LOST * torch.finfo(operator.dtype).eps
        self._small = torch.zeros((rows, most, most), dtype=torch.float64, device=operator.device)
        self._factor = torch.zeros((rows, block, block), dtype=torch.float64, device=operator.device)
        self._scale = self._small.new_zeros(rows)
        self._found = self._small[:, :0]  # eigenvectors of the small matrices at the last estimate
        self.size = 0
        self._next = self._orthonormal(self._random(rows))

    def _random(self, rows: int) -> Tensor:
        """The same directions in every row, so that the results of a row do not depend on the others."""
        _, dimension = self._operator.shape
        drawn = torch.randn((1, self._block, dimension), generator=self._generator, dtype=torch.float64)
        drawn = (drawn / drawn.norm(dim=2, keepdim=True)).to(self._operator.device, self._basis.dtype)
        return self._operator.tangential(drawn.expand(rows, -1, -1).contiguous())

    def _outside(self, vectors: Tensor) -> Tensor:
        """The parts of tangential vectors that are orthogonal to the basis."""
        known = self._whole[:, : self._codim + self.size]
        return torch.baddbmm(vectors, vectors @ known.mT, known, alpha=-1)

    def _orthonormal(self, vectors: Tensor) -> Tensor:
        """Orthonormal directions that are orthogonal to the basis, from a block of any vectors."""
        for _ in range(3):  # repeated, since normalising a short remainder amplifies rounding errors
            vectors = torch.linalg.qr(self._outside(vectors).mT)[0].mT
        return vectors

    def _split(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Orthonormalise the rows of a block by the Cholesky factor of their products: block = factor @ rows.

        Where they are nearly dependent, the rows are orthonormal only as far as rounding allows.
        """
        if vectors.shape[1] == 1:
            sizes = vectors.norm(dim=2, keepdim=True)
            return vectors / sizes.clamp(min=torch.finfo(vectors.dtype).tiny), sizes.double()
        products = (vectors @ vectors.mT).double()
        factor = torch.linalg.cholesky_ex(products).L
        usable = factor.diagonal(dim1=1, dim2=2) > torch.finfo(vectors.dtype).tiny
        safe = torch.where(usable.all(1)[:, None, None], factor, torch.eye(vectors.shape[1]).to(factor))
        unit = torch.linalg.solve_triangular(safe.to(vectors.dtype), vectors, upper=False)
        return unit, factor

    def step(self) -> None:
        """Append the next block to the basis, and prepare the one after it.

        For a symmetric map S q has parts along the last two blocks alone: these are removed first, then what rounding
        left along all of the basis.
        """
        start, end = self.size, self.size + self._block
        mapped = self._operator.apply_unprojected(self._next)
        self._basis[:, start:end], self._mapped[:, start:end] = self._next, mapped
        self.size = end
        recent = slice(max(0, start - self._block), end)
        near = self._basis[:, recent]
        coordinates = mapped @ near.mT
        fine = coordinates.double()
        self._small[:, start:end, recent] = fine
        self._small[:, recent, start:end] = fine.mT
        left = self._outside(torch.baddbmm(mapped, coordinates, near, alpha=-1))
        self._next, self._factor = self._split(left)
        self._scale = self._scale.maximum(fine.abs().amax((1, 2)))
        sizes = self._factor.diagonal(dim1=1, dim2=2)
        empty = ~(sizes.amin(1) > self._lost * self._scale)
        if self._block > 1:
            self._next, again = self._split(self._outside(self._next))
            self._factor = self._factor @ again
            empty |= ~(sizes.amin(1) > _DEPENDENT * sizes.amax(1))
        if bool(empty.any()):
            if self._block > 1:
                self._factor = torch.where(empty[:, None, None], torch.linalg.qr(left.mT)[1].mT.double(), self._factor)
            unit = left / left.norm(dim=2, keepdim=True).clamp(min=torch.finfo(left.dtype).tiny)
            fresh = self._orthonormal(unit + 1e-3 * self._random(len(mapped)))
            self._next = torch.where(empty[:, None, None], fresh, self._next)

    def estimate(self, count: int, side: Side) -> tuple[Tensor, Tensor]:
        """Eigenvalues (n, m) of the small matrices, and estimates of their residuals, in the precision of S.

        For a symmetric map S V - V T is 0 except in the last block, where it consists of the block after it.
        """
        values, self._found = _chosen(self._small[:, : self.size, : self.size].to(self._basis.dtype), count, side)
        return values.double(), (self._factor.mT @ self._found[:, -self._block :].double()).norm(dim=1)

    def finish(self, ends: Ends, active: Tensor, done: Tensor, converged: Tensor) -> None:
        """Write the rows that are done, from all of V^T S V and with their true residuals.

        The eigenvectors are found in float64 in the space spanned by those of the last estimate.
        """
        where = active[done]
        basis, mapped = self._basis[done, : self.size], self._mapped[done, : self.size]
        measured = (basis @ mapped.mT).double()
        span = torch.linalg.qr(self._found[done].double())[0]
        values, turned = torch.linalg.eigh(span.mT @ ((measured + measured.mT) / 2) @ span)
        values = values.flip(1)
        mixed = (span @ turned.flip(2)).mT.to(basis.dtype)
        vectors, shaped = mixed @ basis, mixed @ mapped
        normal_basis = self._whole[done, : self._codim]
        shaped = torch.baddbmm(shaped, shaped @ normal_basis.mT, normal_basis, alpha=-1)
        off = shaped.addcmul_(values.to(basis.dtype)[:, :, None], vectors, value=-1)
        ends.values[where], ends.vectors[where] = values, vectors.double()
        ends.residual[where] = off.norm(dim=2).double()
        ends.converged[where] = converged[done]
        total = (measured + measured.mT).flatten(1).norm(dim=1)
        asymmetry_ratio = (measured - measured.mT).flatten(1).norm(dim=1) / total.where(total > 0, 1.0)
        ends.asymmetry_ratio[where], ends.steps[where] = asymmetry_ratio, self.size

    def keep(self, rows: Tensor) -> Tensor:
        """Drop all other rows; returns the new order of the rest: the last ones fill the places that became free."""
        left = int(rows.sum())
        order = torch.arange(left, device=rows.device)
        free = (~rows[:left]).nonzero()[:, 0]
        order[free] = left + rows[left:].nonzero()[:, 0]
        used = self._codim + self.size
        self._whole[free, :used] = self._whole[order[free], :used]  # in place, which needs no new memory
        self._mapped[free, : self.size] = self._mapped[order[free], : self.size]
        self._whole, self._basis, self._mapped = self._whole[:left], self._basis[:left], self._mapped[:left]
        self._operator, self._small = self._operator.select(order), self._small[order]
        self._next, self._factor, self._scale = self._next[order], self._factor[order], self._scale[order]
        return order


def _chosen(small: Tensor, count: int, side: Side) -> tuple[Tensor, Tensor]:
    """The wanted eigenvalues (n, m) of symmetric matrices, descending, and their eigenvectors as columns."""
    values, vectors = torch.linalg.eigh(small)
    size = values.shape[1]
    if side == "both ends":
        upper = -(-count // 2)
        places = torch.cat([torch.arange(count - upper), torch.arange(size - upper, size)])
        chosen = places.to(values.device).expand(len(values), -1)
    else:
        chosen = values.abs().topk(count, 1).indices
    order = values.gather(1, chosen).argsort(1, descending=True)
    chosen = chosen.gather(1, order)
    return values.gather(1, chosen), vectors.gather(2, chosen[:, None].expand(-1, size, -1))


class Mean(NamedTuple):
    """An estimate of the mean eigenvalue of each of n maps."""

    value: Float[Tensor, " n"]
    error: Float[Tensor, " n"]  # standard error of the value; NaN for a single probe


def hutchinson(operator: Operator, probes: int, seed: int = 0) -> Mean:
    """Estimate the mean of all eigenvalues on the tangent spaces by u^T S u of random tangent unit vectors u."""
    unit = random_tangents(operator, probes, torch.Generator().manual_seed(seed))
    curvatures = (unit * operator(unit)).sum(2)
    if probes == 1:
        return Mean(curvatures[:, 0], torch.full_like(curvatures[:, 0], torch.nan))
    return Mean(curvatures.mean(1), curvatures.std(1) / probes**0.5)


def random_tangents(operator: Operator, count: int, generator: torch.Generator) -> Vectors:
    """Random unit vectors of every tangent space, drawn once for all of them."""
    rows, dimension = operator.shape
    drawn = torch.randn((1, count, dimension), generator=generator, dtype=torch.float64).to(operator.device)
    unit = drawn.expand(rows, -1, -1).contiguous()
    for _ in range(2):  # repeated, since rounding leaves a part along the normal
        unit = operator.tangential(unit)
        unit = unit / unit.norm(dim=2, keepdim=True)
    return unit


class Density(NamedTuple):
    """Nodes and weights of a Gauss rule for each of n spectra; the weights of a row sum to 1."""

    nodes: Float[Tensor, "n q"]
    weights: Float[Tensor, "n q"]


def quadrature(operator: Operator, probes: int = 8, steps: int = 40, seed: int = 0) -> Density:
    """The density of each spectrum, by stochastic Lanczos quadrature: probes times steps products of each map."""
    rows, dimension = operator.shape
    steps = min(steps, operator.tangent_dim)
    vectors = random_tangents(operator, probes, torch.Generator().manual_seed(seed))
    basis = torch.zeros((rows, probes, steps, dimension), dtype=torch.float64, device=operator.device)
    small = basis.new_zeros((rows, probes, steps, steps))
    for step in range(steps):
        basis[:, :, step] = vectors
        mapped = operator(vectors)
        known = basis[:, :, : step + 1]
        coordinates = (known @ mapped[..., None])[..., 0]
        small[:, :, : step + 1, step] = small[:, :, step, : step + 1] = coordinates
        left = mapped - (coordinates[..., None, :] @ known)[..., 0, :]
        left = left - ((known @ left[..., None]).mT @ known)[..., 0, :]
        sizes = left.norm(dim=2, keepdim=True)
        scale = small.abs().amax((1, 2, 3))[:, None, None]
        lost = _LOST * torch.finfo(sizes.dtype).eps * scale
        vectors = left / sizes.where(sizes > lost, torch.inf)  # after the space is exhausted, nodes have weight 0
    values, eigenvectors = torch.linalg.eigh((small + small.mT) / 2)
    return Density(values.flatten(1), (eigenvectors[:, :, 0].square() / probes).flatten(1))
