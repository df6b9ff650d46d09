"""The Jacobian of a classifier's outputs at n images: a matrix where there are few outputs, products otherwise.

With at most 64 outputs, each row of J comes from one backward pass, and everything about J is exact up to rounding.
With more, J is never stored; its products come from one graph that is reused:

    J^T u   the backward pass
    J v     the derivative of u -> J^T u, which is linear, along v: a backward pass through the backward pass

The second works for every model that can be differentiated twice, even without forward-mode derivatives. The largest
singular value comes from power iteration, v <- J^T J v, which approaches it from below; the residual
|J^T J v - s² v| / s² is reported.

References: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994; power iteration: Golub
and Van Loan, Matrix Computations, 8.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.geometry.boundary.bracketing import compaction_schedule
from core.models.classifier import Classifier
from core.runtime.cost import count_passes

Representation = Literal["logits", "probabilities"]
REPRESENTATIONS: tuple[Representation, ...] = get_args(Representation)

MOST_ROWS = 64  # outputs whose Jacobian is stored
MOST_VALUES = 1 << 22  # pixels of the rows of a batch: 1,365 of 3 x 32 x 32, 27 of 3 x 224 x 224
_CHANGED = 1e-4  # relative: below, power iteration has come to rest

Vectors = Float[Tensor, "n m d"]
Product = Callable[[Tensor], Tensor]


class Outputs:
    """The outputs of a classifier to study: logits or probabilities.

    Args:
        classifier: the classifier.
        representation: its logits, or their softmax.
    """

    def __init__(self, classifier: Classifier, representation: Representation = "logits") -> None:
        self.classifier, self.representation = classifier, representation
        self.count = classifier.num_classes
        self.size = max(1, min(classifier.batches().size, MOST_VALUES // math.prod(classifier.input_shape)))

    def of(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """The representation of logits."""
        return logits.softmax(1) if self.representation == "probabilities" else logits

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The outputs of one batch."""
        count_passes(forwards=len(images))
        return self.of(self.classifier(images))

    def around(
        self, images: Float[Tensor, "n c h w"], directions: Float[Tensor, "r m d"], steps: tuple[float, ...]
    ) -> tuple[Float[Tensor, "s n m k"], Int[Tensor, "s n m"]]:
        """Outputs at x + t v for each image x, its vectors v and steps t, and the class there, batch by batch.

        Args:
            images: n of them.
            directions: m vectors of each, or one set for all (r = 1).
            steps: s factors t, in units of the vectors.

        Returns:
            The outputs, and the class index, -1 where a logit is not finite.
        """
        rows, each = len(images), directions.shape[1]
        flat, total = images.flatten(1), len(steps) * rows * each
        factor = torch.tensor(steps, dtype=images.dtype, device=images.device)
        outputs = images.new_empty((total, self.count))
        classes = torch.empty(total, dtype=torch.int64, device=images.device)
        with torch.no_grad():
            for start in range(0, total, self.size):
                number = torch.arange(start, min(start + self.size, total), device=images.device)
                step, row, way = number // (rows * each), number // each % rows, number % each
                vectors = directions[row if len(directions) > 1 else 0, way]
                logits = self.classifier((flat[row] + factor[step, None] * vectors).view(-1, *images.shape[1:]))
                outputs[number] = self.of(logits)
                classes[number] = logits.argmax(1).masked_fill(~torch.isfinite(logits).all(1), -1)
        count_passes(forwards=total)
        return outputs.view(len(steps), rows, each, -1), classes.view(len(steps), rows, each)


class SingularValue(NamedTuple):
    """The largest singular value at each image, and how well it is known."""

    value: Float[Tensor, " n"]
    residual: Float[Tensor, " n"]  # |J^T J v - s² v| / s²: 0 for stored matrices, NaN for J = 0
    vector: Float[Tensor, "n d"]  # of length 1: what is stretched most; 0 for J = 0
    rounds: int  # of power iteration


class Linearised:
    """The outputs at n images and their Jacobian.

    Args:
        outputs: the outputs to linearise.
        images: the points of linearisation.
    """

    def __init__(self, outputs: Outputs, images: Float[Tensor, "n c h w"]) -> None:
        self._outputs, self.matrix = outputs, None
        with torch.enable_grad(), math_attention():
            points = images.detach().clone().requires_grad_()
            values = outputs(points)
            self.value = values.detach()
            if outputs.count <= MOST_ROWS:
                self.matrix = self._rows(values, points)
            else:
                self._products = Products(values, points)

    def _rows(self, values: Tensor, points: Tensor) -> Float[Tensor, "n k d"]:
        count_passes(gradients=values.numel())
        if not values.requires_grad:  # outputs that do not depend on the image
            return points.new_zeros((*values.shape, points[0].numel()))
        last = values.shape[1] - 1
        rows = [
            torch.autograd.grad(values[:, k].sum(), points, retain_graph=k < last, materialize_grads=True)[0]
            for k in range(last + 1)
        ]
        return torch.stack([row.flatten(1) for row in rows], 1).detach()

    def __call__(self, vectors: Float[Tensor, "r m d"]) -> Float[Tensor, "n m k"]:
        """J v for m vectors of each image, or for one set of them (r = 1)."""
        if self.matrix is not None:
            return (
                torch.einsum("nkd,rmd->nmk", self.matrix, vectors)
                if len(vectors) == 1
                else (vectors @ self.matrix.transpose(1, 2))
            )
        count_passes(gradients=2 * len(self.value) * vectors.shape[1])
        along = vectors.expand(len(self.value), -1, -1)
        return torch.stack([self._products(along[:, place]) for place in range(along.shape[1])], 1)

    def singular_values(self) -> Float[Tensor, "n k"] | None:
        """All singular values, largest first, float64; None where J is not stored."""
        return None if self.matrix is None else singular_values(self.matrix)

    def largest(self, rounds: int = 60, seed: int = 0) -> SingularValue:
        """The largest singular value at each image: exact where J is stored, else by power iteration."""
        if self.matrix is not None:
            rows = self.matrix.double()
            squares, left = torch.linalg.eigh(rows @ rows.transpose(1, 2))
            values = squares[:, -1].clamp(min=0).sqrt()
            right = torch.einsum("nkd,nk->nd", rows, left[:, :, -1])
            right = right / right.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
            return SingularValue(values, torch.zeros_like(values), right.to(self.matrix), 0)
        found = largest_singular_value(self._products, self._products.transposed, self._products.like, rounds, seed)
        count_passes(gradients=3 * len(self.value) * (found.rounds + 1))
        return found


class Products:
    """J v and J^T u for outputs of n rows that depend on n inputs, each on its own; the graph is kept.

    Args:
        outputs: (n, ...) with a graph.
        inputs: (n, ...) that require gradients.
    """

    def __init__(self, outputs: Tensor, inputs: Tensor) -> None:
        self._outputs, self._inputs = outputs, inputs
        self.like = torch.zeros_like(inputs.detach()).flatten(1)
        self._dummy = torch.zeros_like(outputs.detach()).requires_grad_()
        self._back = self.like
        if outputs.requires_grad:
            with torch.enable_grad():
                (self._back,) = torch.autograd.grad(
                    outputs, inputs, self._dummy, create_graph=True, materialize_grads=True
                )

    def __call__(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """J v."""
        if not self._back.requires_grad:
            return torch.zeros_like(self._dummy.detach()).flatten(1)
        (along,) = torch.autograd.grad(
            self._back, self._dummy, vectors.reshape(self._inputs.shape), retain_graph=True, materialize_grads=True
        )
        return along.detach().flatten(1)

    def transposed(self, vectors: Float[Tensor, "n k"]) -> Float[Tensor, "n d"]:
        """J^T u."""
        if not self._outputs.requires_grad:
            return torch.zeros_like(self.like)
        (back,) = torch.autograd.grad(
            self._outputs,
            self._inputs,
            vectors.reshape(self._outputs.shape),
            retain_graph=True,
            materialize_grads=True,
        )
        return back.detach().flatten(1)


def along(
    outputs: Sequence[Float[Tensor, "n ..."]], points: Float[Tensor, "n d"], vectors: Float[Tensor, "n d"]
) -> list[Tensor]:
    """J v of several outputs at once: the derivative, along v, of the sum of their J^T u, which is linear in each u.

    Args:
        outputs: of `points`, with a graph where they depend on them.
        points: that require gradients.
        vectors: one for each point.

    Returns:
        J v, of the shape of each output.
    """
    found = [torch.zeros_like(each.detach()) for each in outputs]
    known = [place for place, each in enumerate(outputs) if each.requires_grad]
    dummies = [torch.zeros_like(found[place]).requires_grad_() for place in known]
    if not known:
        return found
    (back,) = torch.autograd.grad(
        [outputs[place] for place in known], points, dummies, create_graph=True, materialize_grads=True
    )
    moved = torch.autograd.grad(back, dummies, vectors, materialize_grads=True) if back.requires_grad else ()
    for place, move in zip(known, moved, strict=False):
        found[place] = move.detach()
    return found


def singular_values(matrix: Float[Tensor, "n k d"]) -> Float[Tensor, "n k"]:
    """The k largest singular values of wide matrices, from their k x k Gram matrices in float64.

    Squares lose half of the digits of the small ones: below 1e-8 of the largest they are rounding and given as 0.
    """
    rows = matrix.double()
    squares = torch.linalg.eigvalsh(rows @ rows.transpose(1, 2)).flip(1)
    values: Tensor = squares.where(squares > 1e-16 * squares[:, :1], 0.0).clamp(min=0).sqrt()
    return values


def largest_singular_value(
    forward: Product, transposed: Product, like: Float[Tensor, "n d"], rounds: int = 60, seed: int = 0
) -> SingularValue:
    """The largest singular value of a linear map of each row, by power iteration.

    Args:
        forward: v -> J v, (n, d) -> (n, k).
        transposed: u -> J^T u.
        like: (n, d), for the device and the dtype.
        rounds: largest number of rounds; iteration ends when no row changes by more than 1e-4 of itself.
        seed: seed of the start.

    Returns:
        Values approached from below, float64, with the residual of each.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn((1, like.shape[1]), generator=generator, dtype=torch.float64).to(like)
    way = (start / start.norm()).expand_as(like)
    before = torch.zeros(len(like), dtype=torch.float64, device=like.device)
    drops, done = compaction_schedule(rounds, like.device), 0
    for number in range(1, rounds + 1):
        done = number
        there = transposed(forward(way))
        square = there.double().norm(dim=1)
        moved = (square - before).abs() > 2 * _CHANGED * square
        before = square
        way = there / there.norm(dim=1, keepdim=True).clamp(min=torch.finfo(like.dtype).tiny)
        if number in drops and not bool(moved.any()):
            break
    ahead = forward(way)
    value = ahead.double().norm(dim=1)
    square = value.square()
    rest = (transposed(ahead).double() - square[:, None] * way.double()).norm(dim=1) / square
    return SingularValue(value, rest, way, done)


def math_attention() -> Any:
    """The attention kernel that has second derivatives; the fused ones have none."""
    return sdpa_kernel(SDPBackend.MATH)
