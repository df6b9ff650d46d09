"""A distance between images by the predictions along the segment between them, after DeepView.

On the segment from image x to image y let p_0, ..., p_s be the classifier's probabilities at s + 1 equally spaced
points, both ends included. With the Jensen-Shannon divergence J (in bits, so within [0, 1]), the discriminative length
and the distance are

    L(x, y) = sum_i sqrt(J(p_{i-1}, p_i)),      d(x, y) = lambda |x - y| / E + (1 - lambda) L(x, y) / M,

with the largest |x - y| for E and the largest L for M. The published scheme computes L for all n (n - 1) / 2 pairs,
2 s forwards each. Here every image takes one forward, a pair s - 1, and most pairs none: sqrt(J) is a
metric, so by the triangle inequality L(x, y) >= sqrt(J(p(x), p(y))), and a pair whose distance with this bound in
place of L exceeds that to the k-th neighbour found so far is no neighbour. So the neighbours are exact but for M, the
largest L of some pairs drawn at random, the same ones for a seed.

References: Schulz, Hinder, Hammer, DeepView: Visualizing classification boundaries of deep neural networks as scatter
plots using discriminative dimensionality reduction, IJCAI 2020 (arXiv 1909.09154); that sqrt(J) is a metric: Endres,
Schindelin, A new metric for probability distributions, IEEE Transactions on Information Theory 49, 2003.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from core.geometry.maps.neighbours import comparable, distances
from core.models.classifier import Classifier
from core.runtime.progress import part_of

_DRAWN = 400  # pairs whose largest L is M
_FLOOR = 1e-9  # of M: a classifier that says the same everywhere


def divergence(p: Float[Tensor, "*n k"], q: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """The Jensen-Shannon divergence of probabilities.

    Args:
        p: probabilities, the classes last.
        q: others.

    Returns:
        Bits, in [0, 1].

    >>> divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor(1.)
    """
    middle = (p + q) / 2
    bits = (torch.xlogy(p, p) + torch.xlogy(q, q)).sum(-1) / 2 - torch.xlogy(middle, middle).sum(-1)
    return (bits / torch.log(torch.tensor(2.0, dtype=bits.dtype))).clamp(0, 1)


class DivergenceSearch:
    """Nearest neighbours by the distance above, among the images of a set.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: images of the set, as `accept` returns them.
        logits: their logits.
        balance: lambda, the share of the Euclidean distance.
        segments: s, the number of segments of each line.
        seed: seed of the pairs that M is taken from.
        scale: E and M where they are known; otherwise they are computed.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Float[Tensor, "n c h w"],
        logits: Float[Tensor, "n k"],
        *,
        balance: float = 0.65,
        segments: int = 6,
        seed: int = 0,
        scale: tuple[float, float] | None = None,
    ) -> None:
        if not (0 <= balance <= 1 and segments >= 1):
            raise ValueError(f"expected a share in [0, 1] and at least one segment, got {balance} and {segments}")
        self._classifier, self._images = classifier, images
        self._probabilities = logits.double().softmax(1)
        self._balance, self._segments = balance, segments
        self._batches = classifier.batches()
        self._vectors = comparable(images.flatten(1), "euclidean")
        self.scale = self._scale(seed) if scale is None else scale

    def _scale(self, seed: int) -> tuple[float, float]:
        """The largest Euclidean distance, and the largest L of some pairs."""
        n = len(self._images)
        step = max(1, (1 << 24) // n)
        largest = max(
            float(distances(self._vectors[start : start + step], self._vectors, "euclidean").max())
            for start in range(0, n, step)
        )
        pairs = torch.randint(n, (_DRAWN, 2), generator=torch.Generator().manual_seed(seed))
        lengths = self.lengths(self._images, self._probabilities, pairs)
        return largest or 1.0, max(float(lengths.max()), _FLOOR)

    def lengths(
        self,
        images: Float[Tensor, "m c h w"],
        probabilities: Float[Tensor, "m k"],
        pairs: Int64[Tensor, "p 2"],
        tick: Callable[[float], None] = lambda part: None,
    ) -> Float[Tensor, " p"]:
        """L between images (the first number of each pair) and images of the set (the second).

        Args:
            images: any images.
            probabilities: their probabilities.
            pairs: numbers of images.
            tick: called with the fraction done.

        Returns:
            Lengths, float64, on the CPU.
        """
        if not len(pairs):
            return torch.zeros(0, dtype=torch.float64)
        inner = self._segments - 1
        device = self._images.device
        here, there = pairs.to(device).unbind(1)
        ends = probabilities[here], self._probabilities[there]
        if not inner:
            return divergence(*ends).sqrt().cpu()
        part = (torch.arange(1, self._segments, device=device, dtype=images.dtype) / self._segments).view(-1, 1, 1, 1)
        number = torch.arange(len(pairs) * inner, device=device)

        def speak(rows: Tensor) -> Tensor:
            pair, place = rows // inner, rows % inner
            a, b = images[here[pair]], self._images[there[pair]]
            return self._classifier(a + part[place] * (b - a)).double().softmax(1)

        between = self._batches(speak, number, tick).view(len(pairs), inner, -1)
        path = torch.cat([ends[0][:, None], between, ends[1][:, None]], 1)
        return divergence(path[:, :-1], path[:, 1:]).sqrt().sum(1).cpu()

    def nearest(
        self,
        images: Float[Tensor, "m c h w"],
        logits: Float[Tensor, "m k"],
        count: int,
        *,
        same: bool = False,
        tick: Callable[[float], None] = lambda part: None,
    ) -> tuple[Float[Tensor, "m k2"], Int64[Tensor, "m k2"], Float[Tensor, "m n"]]:
        """The nearest images of the set.

        Args:
            images: any images; the set itself where `same`.
            logits: their logits.
            count: number of neighbours.
            same: no image is its own neighbour, and a pair is computed once for both.
            tick: called with the fraction done.

        Returns:
            Distances in ascending order, the numbers of the images, and all distances as far as they are known: exact
            for the neighbours and whatever else was computed, a bound from below elsewhere. On the CPU.
        """
        probabilities = logits.double().softmax(1)
        largest, longest = self.scale
        far = distances(comparable(images.flatten(1), "euclidean"), self._vectors, "euclidean").cpu()
        far *= self._balance / largest
        weight = (1 - self._balance) / longest
        known = far.clone()  # rises from the bound to the distance
        for start in range(0, len(images), 256):
            rows = probabilities[start : start + 256, None]
            every = self._probabilities.expand(len(rows), -1, -1)
            bound = divergence(rows.expand(-1, every.shape[1], -1), every).sqrt()
            known[start : start + 256] += weight * bound.cpu()
        exact = torch.zeros_like(known, dtype=torch.bool)
        if same:
            known.fill_diagonal_(torch.inf)
            exact.fill_diagonal_(True)
        done = 0.0
        while True:
            wanted = torch.zeros_like(exact)
            wanted.scatter_(1, known.topk(count, 1, largest=False).indices, True)
            wanted &= ~exact
            if same:
                wanted = (wanted | wanted.T).triu(1)
            pairs = wanted.nonzero()
            if not len(pairs):
                break
            begin, done = done, done + (1 - done) / 2  # the number of rounds is unknown
            lengths = self.lengths(images, probabilities, pairs, part_of(tick, begin, done))
            value = far[pairs[:, 0], pairs[:, 1]] + weight * lengths
            known[pairs[:, 0], pairs[:, 1]], exact[pairs[:, 0], pairs[:, 1]] = value, True
            if same:
                known[pairs[:, 1], pairs[:, 0]], exact[pairs[:, 1], pairs[:, 0]] = value, True
        distance, index = known.topk(count, 1, largest=False)
        return distance, index, known

    def published(self) -> int:
        """Forwards that the published scheme takes for all pairs of the set: 2 s for each."""
        n = len(self._images)
        return n * (n - 1) * self._segments
