"""Small changes on the grid of levels that change a classifier's label: witnesses, found by three searches.

- The walk needs labels only. It changes one value after another, in random order, towards an image with another label;
  bisection finds a place where the label changes. Then random parts of the change are restored as long as the label
  still differs, and the rest is shortened towards the image.
- The gradient walk heads for the corner of the box that the gradient of a runner-up's margin points to, the value of
  largest capacity (slope times room) first, bisected between 1, 2, 4, ... values.
- The nearest boundary point of `core.geometry.boundary.deepfool`, rounded to the grid beyond it.

A witness bounds the distance of its image from above. All images of a call take every step together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.limits.bounds import NORMS
from core.models.classifier import Classifier
from core.runtime.batches import Batches
from core.runtime.cost import count_passes

SEARCHES = ("walk", "gradient", "nearest")

_SMALLEST = 16  # rows of a batch
_RUNNERS_UP = 3  # classes that the gradient's walk heads for
_RESTORED = 64  # parts of the change that are tried
_SHORTENINGS = 10  # bisections of what is left
_BEYOND = tuple(1.15**k for k in range(60))  # of the way to the nearest boundary point, before rounding to the grid
_MOST_VALUES = 1 << 23  # of the rows that are searched together


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Sizes (search, n, norm), NaN where there is no witness, and the witness (n, v) of fewest changed values."""

    size: Tensor
    witness: Tensor


class Witnesses:
    """The three searches over flat images on a grid of levels.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        bits: bits of each value.
        walks: random walks from each image.
        seed: seed of the random numbers.
    """

    def __init__(self, classifier: Classifier, bits: int, walks: int, seed: int) -> None:
        self.classifier, self.bits, self.walks, self.seed = classifier, bits, walks, seed
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.top = 2**bits - 1
        self._batches = classifier.batches()
        self._smaller: dict[int, Batches] = {}

    def label(self, flat: Tensor) -> Int[Tensor, " n"]:
        """The label of each image; -1 where a logit is not finite."""
        if not len(flat):
            return torch.empty(0, dtype=torch.int64, device=flat.device)

        def ask(rows: Tensor) -> Tensor:
            logits = self.classifier(rows.view(-1, *self.classifier.input_shape))
            return logits.argmax(1).where(torch.isfinite(logits).all(1), -1)

        with torch.inference_mode():
            return self._shape(len(flat))(ask, flat).clone()

    def _shape(self, rows: int) -> Batches:
        """Batches no larger than needed: a search evaluates few rows, hundreds of times."""
        size = max(_SMALLEST, 1 << (rows - 1).bit_length())
        if size >= self._batches.size:
            return self._batches
        return self._smaller.setdefault(size, Batches(size, counts=True))

    def differs(self, flat: Tensor, source: Tensor) -> Bool[Tensor, " n"]:
        """Whether an image has another label, a defined one."""
        label = self.label(flat)
        return (label != source) & (label >= 0)

    def flat(self, levels: Int[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        """Flat images with these levels, of the classifier's dtype and on its device."""
        images: Tensor = levels.to(self.classifier.dtype) / self.top
        return images.to(self.classifier.device)

    def on_grid(self, pixels: Tensor) -> Float[Tensor, "n v"]:
        """Images rounded to the nearest level, flat."""
        images: Tensor = (pixels.clamp(0, 1) * self.top).round().flatten(1) / self.top
        return images

    def sizes(
        self, images: Tensor, source: Tensor, partners: Tensor, their: Tensor, tick: Callable[[float], None]
    ) -> Found:
        """The smallest adversarial witnesses of all searches, chunk by chunk.

        Args:
            images: (n, v) images on the grid.
            source: their labels.
            partners: (m, v) images on the grid; walks head for those with another label.
            their: the labels of the partners.
            tick: called with the fraction done.

        Returns:
            Sizes in the four norms, values changed for p = 0.
        """
        size = torch.full((len(SEARCHES), len(images), len(NORMS)), math.nan, dtype=torch.float64)
        fewest = images.clone()
        rows = max(1, _MOST_VALUES // max(1, images.shape[1] * max(self.walks, _RUNNERS_UP)))
        for start in range(0, len(images), rows):
            tick(start / len(images))
            part = slice(start, start + rows)
            least = torch.full((len(images[part]),), math.inf, device=images.device)
            for place, search in enumerate((self._walk, self._gradient, self._nearest)):
                witnesses, found = search(images[part], source[part], partners, their)
                sizes = self._measured(images[part], witnesses, found)
                size[place, part] = sizes.nan_to_num(nan=math.inf).amin(0).where(found.any(0)[:, None], math.nan).cpu()
                changed = sizes[..., 0].nan_to_num(nan=math.inf)
                best, which = changed.min(0)
                better = best < least
                least = torch.where(better, best, least)
                taken = witnesses[which, torch.arange(len(least), device=images.device)]
                fewest[part] = torch.where(better[:, None], taken, fewest[part])
        tick(1.0)
        return Found(size=size, witness=fewest)

    def _measured(self, images: Tensor, witnesses: Tensor, found: Tensor) -> Tensor:
        """Sizes (w, n, norm) of witnesses (w, n, v) in all norms; NaN where there is none."""
        steps = ((witnesses - images) * self.top).round().double()
        sizes = [
            (steps != 0).sum(2).double() if p == 0 else torch.linalg.vector_norm(steps, ord=p, dim=2) / self.top
            for p in NORMS
        ]
        return torch.stack(sizes, 2).where(found[..., None], math.nan)

    def _walk(self, images: Tensor, source: Tensor, partners: Tensor, their: Tensor) -> tuple[Tensor, Tensor]:
        """Random walks: witnesses (2 w, n, v), with whole steps and shortened, and whether they are any."""
        number, count, values = self.walks, len(images), images.shape[1]
        generator, device = self.generator, images.device
        fits = their[None] != source[:, None]
        chance = torch.rand((number, count, len(partners)), generator=generator).to(device)
        chosen = chance.where(fits, -1.0).argmax(2)
        known = fits.any(1).expand(number, -1).reshape(-1)
        towards = partners[chosen].reshape(-1, values)
        x, own = images.repeat(number, 1), source.repeat(number)
        key = torch.rand((number * count, values), generator=generator).to(device)
        threshold, _ = key.sort(1)
        used = self._bisect(x, towards, own, key, threshold, torch.zeros_like(own), torch.full_like(own, values))
        changed = key < _at(threshold, used)
        for place in range(_RESTORED):  # ever smaller parts: half of what is left, at last a sixty-fourth
            share = 0.5 ** (1 + 5 * place / _RESTORED)
            fewer = changed & (torch.rand(key.shape, generator=generator).to(device) >= share)
            still = self.differs(torch.where(fewer, towards, x), own)
            changed = torch.where(still[:, None], fewer, changed)
        whole = torch.where(changed, towards, x)
        shorter = self._shortened(x, whole, own)
        ok = known & self.differs(whole, own)
        return torch.stack([whole, shorter]).reshape(2 * number, count, values), ok.repeat(2).reshape(-1, count)

    def _bisect(
        self, x: Tensor, towards: Tensor, own: Tensor, key: Tensor, threshold: Tensor, low: Tensor, high: Tensor
    ) -> Int[Tensor, " n"]:
        """How many values, in the order of their keys, must be replaced for another label.

        With `low` replaced values the label is unchanged, with `high` it differs; the result lies in between.
        """
        for _ in range(x.shape[1].bit_length()):
            middle = (low + high) // 2
            other = self.differs(torch.where(key < _at(threshold, middle), towards, x), own)
            open_ = high - low > 1
            high = torch.where(open_ & other, middle, high)
            low = torch.where(open_ & ~other, middle, low)
        return high

    def _shortened(self, x: Tensor, witness: Tensor, own: Tensor) -> Tensor:
        """The witness moved towards the image as far as bisection allows, on the grid."""
        low, high = (
            torch.zeros(len(x), dtype=x.dtype, device=x.device),
            torch.ones(len(x), dtype=x.dtype, device=x.device),
        )
        best = witness
        for _ in range(_SHORTENINGS):
            middle = (low + high) / 2
            nearer = ((x + middle[:, None] * (witness - x)) * self.top).round() / self.top
            other = self.differs(nearer, own)
            best = torch.where(other[:, None], nearer, best)
            high, low = torch.where(other, middle, high), torch.where(other, low, middle)
        return best

    def _gradient(self, images: Tensor, source: Tensor, partners: Tensor, their: Tensor) -> tuple[Tensor, Tensor]:
        """The values of largest capacity first: witnesses (2 r, n, v) with whole steps and shortened."""
        rows, values = images.shape
        runners_up = min(_RUNNERS_UP, self.classifier.num_classes - 1)
        slopes = self._slopes(images, source, runners_up)
        x, own = images.repeat(runners_up, 1), source.repeat(runners_up)
        room = torch.where(slopes > 0, 1 - x, x)
        key = -(slopes.abs() * room)
        towards = torch.where(slopes > 0, 1.0, torch.where(slopes < 0, 0.0, x)).to(x.dtype)
        order = key.argsort(dim=1, stable=True)
        place = torch.empty_like(order).scatter_(1, order, torch.arange(values, device=x.device).expand_as(order))
        ranks = torch.arange(values, device=x.device).expand_as(place)
        low, high = torch.zeros_like(own), torch.full_like(own, values)
        met = torch.zeros_like(own, dtype=torch.bool)
        for power in range(values.bit_length() + 1):
            number = min(1 << power, values)
            other = self.differs(torch.where(place < number, towards, x), own)
            high = torch.where(other & ~met, number, high)
            low = torch.where(~other & ~met, number, low)
            met = met | other
        used = self._bisect(x, towards, own, place, ranks, torch.minimum(low, high - 1), high)
        whole = torch.where(place < used[:, None], towards, x)
        shorter = self._shortened(x, whole, own)
        ok = met & self.differs(whole, own)
        return torch.stack([whole, shorter]).reshape(2 * runners_up, rows, values), ok.repeat(2).reshape(-1, rows)

    def _slopes(self, images: Tensor, source: Tensor, runners_up: int) -> Tensor:
        """Gradients (r n, v) of f_k - f_s for the runners-up k; 0 where a logit is constant."""
        size, found = self._batches.size, []
        for start in range(0, len(images), size):
            with torch.inference_mode(False), torch.enable_grad():
                x = images[start : start + size].detach().clone().requires_grad_()
                own = source[start : start + size].clone()
                logits = self.classifier(x.view(-1, *self.classifier.input_shape))
                mine = logits.gather(1, own[:, None])[:, 0]
                others = logits.detach().scatter(1, own[:, None], -math.inf).topk(runners_up, 1).indices
                slopes = [
                    _gradient_of((logits.gather(1, others[:, r : r + 1])[:, 0] - mine).sum(), x)
                    for r in range(runners_up)
                ]
                count_passes(forwards=len(x), gradients=runners_up * len(x))
            found.append(torch.stack(slopes))
        return torch.cat(found, 1).flatten(0, 1).detach()

    def _nearest(self, images: Tensor, source: Tensor, partners: Tensor, their: Tensor) -> tuple[Tensor, Tensor]:
        """Beyond the nearest boundary point, on the grid: witnesses (1, n, v)."""
        nearest = boundary_points(self.classifier, images.view(-1, *self.classifier.input_shape), norm=2)
        reached = torch.from_numpy(nearest.crossed).to(images).flatten(1)
        way = torch.nan_to_num(reached - images)
        best, met = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
        for factor in _BEYOND:
            rounded = ((images + factor * way).clamp(0, 1) * self.top).round() / self.top
            other = self.differs(rounded, source) & ~met
            best = torch.where(other[:, None], rounded, best)
            met = met | other
        return best[None], met[None]


def _gradient_of(value: Tensor, at: Tensor) -> Tensor:
    """The gradient of a sum; 0 where it does not depend on the images."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    [slope] = torch.autograd.grad(value, at, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.nan_to_num(slope)


def _at(threshold: Tensor, used: Tensor) -> Tensor:
    """Keys below it are the first `used` ones: (n, 1)."""
    last = threshold.shape[1]
    found = threshold.gather(1, used.clamp(max=last - 1)[:, None])
    return found.where((used < last)[:, None], threshold[:, -1:] + 1)
