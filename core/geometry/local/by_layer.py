"""Local properties layer by layer: what happens to perturbations of one length on their way to the logits.

At layer l with the map x -> h_l, J_l is its Jacobian at the image, d+ and d- are the changes of h_l at x + r v and x -
r v, and B_l is the Jacobian of the block alone, from the watched layer before it (at first the image) to layer l. For
each layer the Mantel scores, isotropy, asymmetry and affine residual of `core.geometry.local.local` are measured, and

    prefix      the largest singular value of J_l                      from the image to here
    block       the largest singular value of B_l at its own input
    suffix      the largest singular value of the map from here to the logits
    alignment   prefix_l / (prefix_{l-1} block_l)

Since J_l = B_l J_{l-1} where everything passes both layers, alignment lies in (0, 1]: it says how far the product of
the blocks' norms overstates what they do together, because the steepest direction of one does not meet that of the
next. All of these are power iterations, reached from below; `residual_of_norms` is the worst of a layer.

Layers wider than 32,768 values are seen through a fixed random sign sketch into 4,096 buckets, which changes each
distance by about 1.6 % (standard deviation); norms are those of the layer itself.

Reference: Aghdam, Heravi, Puig, VISAPP 2017, whose subject are the maps from the image to each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.local import isotropy
from core.geometry.local.activation_regions import pattern
from core.geometry.local.direction_distributions import Sampler, directions
from core.geometry.local.jacobian import MOST_VALUES, Products, largest_singular_value, math_attention
from core.geometry.local.layers import States, Watch, layer_paths, watched
from core.geometry.local.local import precise
from core.geometry.local.mantel import distances, mantel_where_distinct
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import count_passes, counted, spent
from core.runtime.progress import OnProgress, silent

_WIDE, _BUCKETS = 1 << 15, 1 << 12
_ROUNDS = 60
_SCORES = ("mantel_raw", "mantel_linear", "mantel_jacobian")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerGeometry(Result):
    """What is seen at l layers around n images; NaN where nothing changes or an image is undefined."""

    mantel_raw: np.ndarray = quantity("", "image layer", words="Mantel score")
    mantel_linear: np.ndarray = quantity("", "image layer")
    mantel_jacobian: np.ndarray = quantity("", "image layer")
    variation: np.ndarray = quantity("", "image layer", words="variation of the gain")  # std / mean of the gains
    variation_linear: np.ndarray = quantity("", "image layer")  # of the linearisation
    effective: np.ndarray = quantity("directions", "image layer")  # PR, the number that matter; on the sphere only
    asymmetry: np.ndarray = quantity("", "image layer", words="asymmetry")  # mean over directions
    residual: np.ndarray = quantity("", "image layer", words="off the linearisation")  # mean of |d+ - r J v| / |d+|
    changed: np.ndarray = quantity("", "image layer")  # share of units on another side, in the block; NaN: no kinks
    prefix: np.ndarray = quantity("layer / ℓ2 pixel", "image layer", words="slope up to the layer")
    block: np.ndarray = quantity("layer / layer before", "image layer")
    suffix: np.ndarray = quantity("logit / layer", "image layer", words="slope behind the layer")
    alignment: np.ndarray = quantity("", "image layer")
    residual_of_norms: np.ndarray = quantity("", "layer")
    width: np.ndarray = quantity("values", "layer")
    layers: tuple[str, ...] = quantity("")  # paths of modules
    radius: float = quantity("ℓ2 pixel")
    sampler: str = quantity("")
    directions: int = quantity("")
    precision: str = quantity("")
    num_classes: int = quantity("")
    fingerprint: str = quantity("", default="")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The numbers of each layer."""
        labels = [f"layer {name}" for name in self.layers]
        yield from self.quoted("mantel_raw", "variation", "asymmetry", "residual", "prefix", "suffix", columns=labels)


@counted
def layer_geometry(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    radius: float,
    *,
    layers: Sequence[str] = (),
    sampler: Sampler = "sphere",
    dimension: int = 8,
    count: int = 32,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> LayerGeometry:
    """Measure local properties at hidden layers.

    Args:
        classifier: any `core.models.classifier.Classifier` that can be differentiated twice.
        images: finite pixel values, nominally in [0, 1].
        radius: r, in ℓ2 pixel.
        layers: paths of modules, in the order they are met, the last giving the logits; `layer_paths` when empty.
        sampler: the distribution of the directions, see `core.geometry.local.direction_distributions.directions`.
        dimension: of the subspace, where the sampler is one.
        count: m directions.
        seed: of the directions.
        on_progress: called with the fraction done.

    Returns:
        The numbers. A row that goes backward counts as one gradient, however far it goes.

    Raises:
        ValueError: if there is no image, there are fewer than 4 directions, the radius is not a positive length, or a
            layer is none.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    if not 0 < radius < math.inf or count < 4:
        raise ValueError(f"expected a radius of positive length and 4 or more directions, got {radius} and {count}")
    exact = precise(classifier, radius)
    pixels = exact.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one image, got none")
    paths = tuple(layers) or layer_paths(exact)
    if not paths:
        raise ValueError(f"expected a network with layers, got {classifier.name}, a single one; look at it as a whole")
    size = max(1, min(exact.batches().size, MOST_VALUES // pixels[0].numel()))
    with engine_mode(exact.device):
        drawn = directions(exact, pixels, count, sampler, dimension=dimension, radius=radius, seed=seed)
        with watched(exact, paths) as watch:
            look = _Look(watch, paths, radius, size, sampler == "sphere", seed)
            each = max(1, size // 4)
            for start in range(0, len(pixels), each):
                rows = slice(start, start + each)

                def tick(part: float, start: int = start, rows: int = len(pixels[rows])) -> None:
                    on_progress((start + part * rows) / len(pixels))

                look(pixels[rows], drawn.vectors[rows] if len(drawn.vectors) > 1 else drawn.vectors, tick)
    columns: dict[str, Any] = {name: torch.cat(parts).cpu().numpy() for name, parts in look.columns.items()}
    return LayerGeometry(
        **columns,
        residual_of_norms=look.worst,
        width=np.array(look.width, np.int64),
        layers=paths,
        radius=float(radius),
        sampler=sampler,
        directions=count,
        precision=str(exact.dtype).removeprefix("torch."),
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


class _Changes(NamedTuple):
    """What one layer says to each direction of each image: (n, m, d), sketched where d is large."""

    ahead: Tensor
    behind: Tensor
    linear: Tensor
    changed: Tensor  # (n, m)


class _Look:
    """Tables of what was measured, image by image and layer by layer."""

    def __init__(self, watch: Watch, paths: Sequence[str], radius: float, size: int, sphere: bool, seed: int) -> None:
        self._watch, self._radius, self._size, self._sphere, self._seed = watch, radius, size, sphere, seed
        self.columns: dict[str, list[Tensor]] = {}
        self.worst, self.width = np.zeros(len(paths)), [0] * len(paths)

    def __call__(self, images: Tensor, vectors: Tensor, tick: Callable[[float], None]) -> None:
        tick(0.0)
        norms = self._norms(images)
        tick(0.3)
        changes = self._changes(images, vectors, lambda part: tick(0.3 + 0.6 * part))
        distance = (self._radius * distances(vectors)).expand(len(images), -1, -1)
        found = [self._statistics(one, distance) for one in changes]
        for name in found[0]:
            self.columns.setdefault(name, []).append(torch.stack([one[name] for one in found], 1))
        for name, value in norms.items():
            self.columns.setdefault(name, []).append(value)

    def _norms(self, images: Tensor) -> dict[str, Tensor]:
        """Prefix, block and suffix of every layer, by power iteration on one graph."""
        with torch.enable_grad(), math_attention():
            points = images.detach().clone().requires_grad_()
            states = self._watch(points)
        count_passes(forwards=len(points))
        prefix: list[Tensor] = []
        block: list[Tensor] = []
        suffix: list[Tensor] = []
        before: Tensor = points
        for place, here in enumerate(states.outputs):
            self.width[place] = here[0].numel()
            for where, into, out in ((prefix, here, points), (block, here, before), (suffix, states.logits, here)):
                if into is out or (where is block and place == 0):
                    where.append(torch.ones(len(images), dtype=torch.float64, device=images.device))
                    continue
                products = Products(into, out)
                found = largest_singular_value(products, products.transposed, products.like, _ROUNDS, self._seed)
                count_passes(gradients=len(points) * (2 * found.rounds + 3))
                where.append(found.value)
                rest = torch.nan_to_num(found.residual).amax()
                self.worst[place] = max(self.worst[place], float(rest))
            before = here
        block[0] = prefix[0]
        ahead, alone, behind = (torch.stack(each, 1) for each in (prefix, block, suffix))
        passed = torch.cat([torch.ones_like(ahead[:, :1]), ahead[:, :-1]], 1)
        return {"prefix": ahead, "block": alone, "suffix": behind, "alignment": ahead / (passed * alone)}

    def _changes(self, images: Tensor, vectors: Tensor, tick: Callable[[float], None]) -> list[_Changes]:
        """Changes of every layer along every direction and back, and along its linearisation."""
        rows, each = len(images), vectors.shape[1]
        total, flat = rows * each, images.flatten(1)
        parts: list[list[tuple[Tensor, ...]]] = []
        for start in range(0, total, self._size):
            tick(start / total)
            number = torch.arange(start, min(start + self._size, total), device=images.device)
            row = number // each
            directions = vectors[row if len(vectors) > 1 else 0, number % each]
            parts.append(self._batch(flat[row], directions, images.shape[1:]))
        joined = (zip(*part, strict=True) for part in zip(*parts, strict=True))
        return [_Changes(*(torch.cat(one).unflatten(0, (rows, each)) for one in layer)) for layer in joined]

    def _batch(self, at: Tensor, directions: Tensor, shape: Sequence[int]) -> list[tuple[Tensor, ...]]:
        """The rows of one batch at every layer: ahead, behind, linear, changed."""
        with torch.enable_grad(), math_attention():
            points = at.clone().requires_grad_()
            here = self._watch(points.view(-1, *shape))
            moved = _along(here.outputs, points, directions)
        there = [self._watch((at + side * self._radius * directions).view(-1, *shape)) for side in (1, -1)]
        count_passes(forwards=3 * len(at), gradients=3 * len(at))
        found: list[tuple[Tensor, ...]] = []
        for place, state in enumerate(here.outputs):
            base = state.detach()
            ahead, behind = (self._sketched((one.outputs[place] - base).flatten(1)) for one in there)
            linear = self._sketched(moved[place].flatten(1))
            found.append((ahead, behind, linear, _share_changed(here, there[0], place, len(at))))
        return found

    def _sketched(self, values: Tensor) -> Tensor:
        """Wide rows as sums, with random signs, of the values in each of some buckets."""
        if values.shape[1] <= _WIDE:
            return values
        generator = torch.Generator().manual_seed(self._seed)
        bucket = torch.randint(_BUCKETS, (values.shape[1],), generator=generator).to(values.device)
        sign = torch.randint(2, (values.shape[1],), generator=generator).to(values) * 2 - 1
        return values.new_zeros(len(values), _BUCKETS).index_add_(1, bucket, values * sign)

    def _statistics(self, one: _Changes, distance: Tensor) -> dict[str, Tensor]:
        """The numbers of one layer, one per image, float64."""
        radius = self._radius
        ahead, behind, linear = one.ahead.double(), one.behind.double(), one.linear.double()
        gain, straight = ahead.norm(dim=2) / radius, linear.norm(dim=2)
        answered, answered_linear = (distances(torch.nan_to_num(each)) for each in (ahead, radius * linear))
        scores = mantel_where_distinct(
            torch.cat([distance, distance, answered_linear]), torch.cat([answered, answered_linear, answered])
        ).score
        variation, plain = (
            torch.from_numpy(isotropy.variation(each.cpu().numpy())).to(gain.device) for each in (gain, straight)
        )
        return {
            "variation": variation,
            "variation_linear": plain,
            "effective": self._effective(linear),
            "asymmetry": isotropy.asymmetry(ahead, behind).mean(1),
            "residual": ((ahead - radius * linear).norm(dim=2) / ahead.norm(dim=2)).mean(1),
            "changed": one.changed.mean(1),
            **dict(zip(_SCORES, scores.view(3, -1), strict=True)),
        }

    def _effective(self, linear: Tensor) -> Tensor:
        """PR of M = J^T J from J v at independent v of the sphere: E |J v|² = tr M / D, E (v.M w)² = tr M² / D²."""
        count, unknown = linear.shape[1], torch.full_like(linear[:, 0, 0], torch.nan)
        if not self._sphere:
            return unknown
        gram = linear @ linear.transpose(1, 2)
        own = gram.diagonal(dim1=1, dim2=2)
        others = gram.square().sum((1, 2)) - own.square().sum(1)
        return own.mean(1).square() / (others / (count * (count - 1)))


def _along(outputs: Sequence[Tensor], points: Tensor, directions: Tensor) -> tuple[Tensor, ...]:
    """J_l v at all layers at once: the derivative, along v, of the sum of their J_l^T u, which is linear in each u."""
    if not outputs[0].requires_grad:  # nothing depends on the image: it passes every layer
        return tuple(torch.zeros_like(each) for each in outputs)
    dummies = tuple(torch.zeros_like(each.detach()).requires_grad_() for each in outputs)
    (back,) = torch.autograd.grad(outputs, points, dummies, create_graph=True, materialize_grads=True)
    if not back.requires_grad:
        return tuple(torch.zeros_like(each) for each in outputs)
    moved = torch.autograd.grad(back, dummies, directions, materialize_grads=True)
    return tuple(each.detach() for each in moved)


def _share_changed(here: States, there: States, place: int, rows: int) -> Tensor:
    """The share of units of a block that are on another side, of each row; NaN where it has no kinks."""
    pairs = [
        (pattern(one), pattern(other)) for one, other in zip(here.kinks, there.kinks, strict=True) if one.after == place
    ]
    if not pairs:
        return here.logits.new_full((rows,), torch.nan).detach()
    moved = torch.stack([(one != other).sum(1) for one, other in pairs]).sum(0)
    return moved.to(here.logits.dtype) / sum(one.shape[1] for one, _ in pairs)
