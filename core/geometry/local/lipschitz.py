"""How steep a classifier is around an image: estimates and bounds of its Lipschitz constant.

The Lipschitz constant of F on the ball around x of radius r is the supremum of |F(z) - F(w)| / |z - w|. From below and
above:

    pairs     the largest ratio over pairs of sampled points: below the constant
    point     the largest singular value of J(x): exact at x where J is stored; below the constant of every ball
    ball      the largest singular value of J(z) that was met in the ball, sampled and ascended: below the constant
    margin    the largest |grad (f_c - f_j)| met in the ball, over the other classes j: what CLEVER extrapolates.
              Below its constant too: an estimate, no certificate
    product   the product of the layers' norms (`core.geometry.local.norm_product`): above the constant, everywhere,
    loose

**Sampling says little.** In 3072 dimensions the best of 2000 random directions finds about a tenth of the largest
singular value of a random linear map to 10 outputs, in 40 dimensions two thirds.

**"Below 1" depends on units.** For pixels in [0, 255] every number is 1/255 of that for [0, 1], and softmax at least
halves the constant of the logits. A margin over its slope is a length, which rescaled pixels do not change once it is
given in the same unit.

The ascent in the ball follows the gradient of u^T J(z) v, with u and v the singular vectors at z. Between the kinks of
a piecewise linear network that gradient is 0; there the step goes in a random direction.

References: Weng et al., Evaluating the robustness of neural networks: an extreme value theory approach (CLEVER), ICLR
2018; Aghdam, Heravi, Puig, Explaining adversarial examples by local properties of convolutional neural networks,
VISAPP 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.geometry.local.jacobian import Linearised, Outputs, math_attention
from core.runtime.cost import count_passes

_STRIDE = 2.0  # radii: the first step of the ascent, before it is put back into the ball; halved where it fails


class Steepness(NamedTuple):
    """The largest slopes met in each image's ball."""

    outputs: Float[Tensor, " n"]  # largest singular value of the Jacobian
    margin: Float[Tensor, " n"]  # largest |grad (f_c - f_j)|; NaN where the Jacobian is not stored
    gained: Float[Tensor, " n"]  # by the ascent, over the best sample: a factor


def steepest_pair(distance: Float[Tensor, "n m m"], answered: Float[Tensor, "n m m"]) -> Float[Tensor, " n"]:
    """The largest ratio of distances between outputs to distances between points, over pairs.

    Args:
        distance: distances between the points, positive off the diagonal.
        answered: distances between their outputs.
    """
    row, column = torch.triu_indices(distance.shape[1], distance.shape[1], 1, device=distance.device)
    return (answered[:, row, column] / distance[:, row, column]).amax(1)


def steepest_in_ball(
    outputs: Outputs,
    images: Float[Tensor, "n c h w"],
    here: Linearised,
    classes: Int[Tensor, " n"],
    vectors: Float[Tensor, "r m d"],
    radius: float,
    *,
    ascents: int = 4,
    seed: int = 0,
) -> Steepness:
    """Search the ball around each image for steep places: at samples, then by ascent from the steepest.

    Args:
        outputs: the outputs to study.
        images: the centres.
        here: the outputs linearised at the centres.
        classes: class c of each image, for the margins.
        vectors: m unit vectors for each image, or one set for all: samples lie at their ends.
        radius: radius of the balls, in ℓ2 pixel.
        ascents: ascent steps, each of which costs two more gradients than a sample.
        seed: seed of the random steps.

    Returns:
        The largest slopes met, the centre included.
    """
    search = _Search(outputs, images, classes, radius)
    search.take(images[:, None], here)
    size = max(1, outputs.size // len(images))
    for part in vectors.split(size, 1) if vectors.shape[1] else ():
        search.look(images[:, None] + radius * part.view(len(part), -1, *images.shape[1:]))
    sampled = search.best.clone()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(ascents):
        drawn = torch.randn(images.shape[1:], generator=generator, dtype=torch.float64).to(images)
        search.climb(drawn / drawn.norm())
    return Steepness(search.best, search.margin, search.best / sampled)


class _Search:
    """The steepest place of each image so far."""

    def __init__(self, outputs: Outputs, images: Tensor, classes: Tensor, radius: float) -> None:
        self._outputs, self._images, self._classes, self._radius = outputs, images, classes, radius
        self.best = torch.full((len(images),), -torch.inf, dtype=torch.float64, device=images.device)
        self.margin = torch.full_like(self.best, torch.nan)
        self._at = images.clone()
        self._stride = torch.full_like(images[:, 0, 0, 0], _STRIDE * radius)
        self._left = images.new_zeros(len(images), outputs.count)
        self._right = torch.zeros_like(images).flatten(1)

    def look(self, points: Float[Tensor, "n s c h w"]) -> None:
        """Measure the slopes at points of each image."""
        self.take(points, Linearised(self._outputs, points.flatten(0, 1)))

    def take(self, points: Float[Tensor, "n s c h w"], there: Linearised) -> None:
        """Keep the steepest of these points."""
        rows = torch.arange(len(points), device=points.device)
        found = there.largest()
        values, which = found.value.view(len(points), -1).max(1)
        chosen = rows * points.shape[1] + which
        if there.matrix is not None:
            stretched = torch.einsum("nkd,nd->nk", there.matrix[chosen], found.vector[chosen])
            own = self._classes.repeat_interleave(points.shape[1]).view(-1, 1, 1).expand(-1, 1, there.matrix.shape[2])
            slope = (there.matrix.gather(1, own) - there.matrix).double().norm(dim=2).amax(1)
            self.margin = torch.fmax(self.margin, slope.view(len(points), -1).amax(1))
        else:
            stretched = there(found.vector[:, None])[chosen, 0]
        steeper = values > self.best
        self.best = torch.where(steeper, values, self.best)
        self._at = points[rows, which].where(steeper.view(-1, 1, 1, 1), self._at)
        left, right = stretched / values.to(stretched)[:, None], found.vector[chosen]
        self._left, self._right = left.where(steeper[:, None], self._left), right.where(steeper[:, None], self._right)

    def climb(self, otherwise: Tensor) -> None:
        """One step uphill from the steepest place, back into the ball, and look there."""
        with torch.enable_grad(), math_attention():
            points = self._at.detach().clone().requires_grad_()
            value = (self._outputs(points) * self._left).sum()
            uphill = torch.zeros_like(points)
            if value.requires_grad:
                (slope,) = torch.autograd.grad(value, points, create_graph=True, materialize_grads=True)
                along = (slope.flatten(1) * self._right).sum()
                if along.requires_grad:
                    (uphill,) = torch.autograd.grad(along, points, materialize_grads=True)
        count_passes(gradients=2 * len(points))
        size = uphill.detach().flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        known = torch.isfinite(size) & (size > 0)
        way = torch.where(known, uphill.detach() / size, otherwise)
        moved = self._at + self._stride.view(-1, 1, 1, 1) * way - self._images
        long = moved.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        before = self.best.clone()
        self.look((self._images + moved * (self._radius / long.clamp(min=self._radius)))[:, None])
        self._stride = torch.where(self.best > before, self._stride, self._stride / 2)
