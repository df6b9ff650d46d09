"""Local properties layer by layer: how perturbations of one length change on their way to the logits.

At layer l with the map x -> h_l, J_l is its Jacobian at the image, d+ and d- are the changes of h_l at x + r v and x -
r v, and B_l is the Jacobian of the block alone, from the watched layer before it (at first the image) to layer l. For
each layer the Mantel scores, isotropy, asymmetry and affine residual of `core.geometry.local.local` are measured, and

    prefix      the largest singular value of J_l                      from the image to here
    block       the largest singular value of B_l at its own input
    suffix      the largest singular value of the map from here to the logits
    alignment   prefix_l / (prefix_{l-1} block_l)

Since J_l = B_l J_{l-1} where everything passes both layers, alignment lies in (0, 1]: it says how far the product of
the blocks' norms overstates their joint effect, because the steepest direction of one block does not align with that of
the next. Norms come from power iteration, which approaches them from below; `residual_of_norms` is the worst residual
of a layer.

Layers wider than 32,768 values are reduced by a fixed random sign sketch into 4,096 buckets, which changes each
distance by about 1.6 % (standard deviation); norms are computed on the layer itself.

Reference: Aghdam, Heravi, Puig, VISAPP 2017, whose subject are the maps from the image to each layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.local import isotropy
from core.geometry.local.activation_regions import pattern
from core.geometry.local.direction_distributions import Sampler, directions
from core.geometry.local.jacobian import MOST_VALUES, Products, along, largest_singular_value, math_attention
from core.geometry.local.layers import States, Watch, layer_paths, watched
from core.geometry.local.local import precisely
from core.geometry.local.mantel import distances, mantel_where_distinct
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import count_passes, counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_WIDE, _BUCKETS = 1 << 15, 1 << 12
_ROUNDS = 60
_SCORES = ("mantel_raw", "mantel_linear", "mantel_jacobian")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerGeometry(ClassifierResult):
    """Local properties at l layers around n images; NaN where nothing changes or an image is undefined."""

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

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The numbers of each layer."""
        yield from self.quoted(
            "mantel_raw",
            "variation",
            "asymmetry",
            "residual",
            "prefix",
            "suffix",
            columns=[f"layer {name}" for name in self.layers],
        )


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
        layers: paths of modules in the order in which they run, the last one returning the logits; `layer_paths` when
            empty.
        sampler: the distribution of the directions, see `core.geometry.local.direction_distributions.directions`.
        dimension: dimension of the subspace, for the sampler "subspace".
        count: m, the number of directions.
        seed: seed of the directions.
        on_progress: called with the fraction done.

    Returns:
        The local properties. Each row of a backward pass counts as one gradient, however many layers it crosses.

    Raises:
        ValueError: if there is no image, there are fewer than 4 directions, the radius is not a positive length, or a
            path names no layer.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    if not 0 < radius < math.inf or count < 4:
        raise ValueError(f"expected a radius of positive length and 4 or more directions, got {radius} and {count}")
    exact, pixels = precisely(classifier, images, radius)
    paths = tuple(layers) or layer_paths(exact)
    if not paths:
        raise ValueError(f"expected a network with layers, got {classifier.name}, a single one; look at it as a whole")
    size = max(1, min(exact.batches().size, MOST_VALUES // pixels[0].numel()))
    with engine_mode(exact.device):
        drawn = directions(exact, pixels, count, sampler, dimension=dimension, radius=radius, seed=seed)
        with watched(exact, paths) as watch:
            look = _Look(watch, paths, radius, size, sampler == "sphere", seed)
            parts = Chunks(size // 4)(
                len(pixels), lambda rows, tick: look(pixels[rows], drawn.of(rows), tick), on_progress
            )
    columns: dict[str, Any] = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
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


class _Look:
    """Measures a chunk of images at all layers."""

    def __init__(self, watch: Watch, paths: Sequence[str], radius: float, size: int, sphere: bool, seed: int) -> None:
        self._watch, self._radius, self._size, self._sphere, self._seed = watch, radius, size, sphere, seed
        self.worst, self.width = np.zeros(len(paths)), [0] * len(paths)

    def __call__(self, images: Tensor, vectors: Tensor, tick: OnProgress) -> dict[str, Tensor]:
        norms = self._norms(images)
        tick(0.3)
        changes = self._changes(images, vectors, part_of(tick, 0.3, 0.9))
        distance = (self._radius * distances(vectors)).expand(len(images), -1, -1)
        found = [self._statistics(distance, *layer) for layer in changes]
        return norms | {name: torch.stack([one[name] for one in found], 1) for name in found[0]}

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
                self.worst[place] = max(self.worst[place], float(torch.nan_to_num(found.residual).amax()))
            before = here
        block[0] = prefix[0]
        ahead, alone, behind = (torch.stack(each, 1) for each in (prefix, block, suffix))
        passed = torch.cat([torch.ones_like(ahead[:, :1]), ahead[:, :-1]], 1)
        return {"prefix": ahead, "block": alone, "suffix": behind, "alignment": ahead / (passed * alone)}

    def _changes(self, images: Tensor, vectors: Tensor, tick: OnProgress) -> list[list[Tensor]]:
        """For every layer its changes along every direction and back, and along its linearisation: (n, m, d) each.

        They are sketched where d is large. Last comes the share of units on another side, (n, m).
        """
        rows, each = len(images), vectors.shape[1]
        flat, number = images.flatten(1), torch.arange(rows * each, device=images.device)

        def batch(part: slice, _: OnProgress) -> list[tuple[Tensor, ...]]:
            row = number[part] // each
            return self._batch(
                flat[row], vectors[row if len(vectors) > 1 else 0, number[part] % each], images.shape[1:]
            )

        parts = Chunks(self._size)(len(number), batch, tick)
        joined = (zip(*part, strict=True) for part in zip(*parts, strict=True))
        return [[torch.cat(one).unflatten(0, (rows, each)) for one in layer] for layer in joined]

    def _batch(self, at: Tensor, directions: Tensor, shape: Sequence[int]) -> list[tuple[Tensor, ...]]:
        """The rows of one batch at every layer: ahead, behind, linear, changed."""
        with torch.enable_grad(), math_attention():
            points = at.clone().requires_grad_()
            here = self._watch(points.view(-1, *shape))
            moved = along(here.outputs, points, directions)
        there = [self._watch((at + side * self._radius * directions).view(-1, *shape)) for side in (1, -1)]
        count_passes(forwards=3 * len(at), gradients=3 * len(at))
        found: list[tuple[Tensor, ...]] = []
        for place, state in enumerate(here.outputs):
            base = state.detach()
            ahead, behind = (self._sketched((one.outputs[place] - base).flatten(1)) for one in there)
            found.append(
                (ahead, behind, self._sketched(moved[place].flatten(1)), _share_changed(here, there[0], place, len(at)))
            )
        return found

    def _sketched(self, values: Tensor) -> Tensor:
        """Rows, wide ones reduced to sums of their values, with random signs, in random buckets."""
        if values.shape[1] <= _WIDE:
            return values
        generator = torch.Generator().manual_seed(self._seed)
        bucket = torch.randint(_BUCKETS, (values.shape[1],), generator=generator).to(values.device)
        sign = torch.randint(2, (values.shape[1],), generator=generator).to(values) * 2 - 1
        return values.new_zeros(len(values), _BUCKETS).index_add_(1, bucket, values * sign)

    def _statistics(
        self, distance: Tensor, ahead: Tensor, behind: Tensor, linear: Tensor, changed: Tensor
    ) -> dict[str, Tensor]:
        """The statistics of one layer, one per image, float64."""
        radius = self._radius
        ahead, behind, linear = ahead.double(), behind.double(), linear.double()
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
            "changed": changed.mean(1),
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


def _share_changed(here: States, there: States, place: int, rows: int) -> Tensor:
    """The share of units of a block that change side, per row; NaN where the block has no kinks."""
    pairs = [
        (pattern(one), pattern(other)) for one, other in zip(here.kinks, there.kinks, strict=True) if one.after == place
    ]
    if not pairs:
        return here.logits.new_full((rows,), torch.nan).detach()
    moved = torch.stack([(one != other).sum(1) for one, other in pairs]).sum(0)
    return moved.to(here.logits.dtype) / sum(one.shape[1] for one, _ in pairs)
