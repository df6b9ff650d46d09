"""Random numbers that depend on an image alone: the same in every batch and on every device.

SplitMix64 is a stateless generator: its i-th number is a bijection of key + i g modulo 2^64, which mixes bits so well
that neighbouring counters look independent. Here the key is a hash of the image's pixels, the purpose of the numbers
and a seed, so that all numbers of all images are computed at once.

References: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, with the constants of its
`mix64variant13`. Poisson quantiles: Giles, Algorithm 955: approximation of the inverse Poisson cumulative distribution
function, ACM Transactions on Mathematical Software 42, 2016, equation for Q_N2.
"""

from __future__ import annotations

import hashlib
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio, made odd; as a signed number
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)
_NORMAL_FROM = 32.0  # mean of a Poisson variable from which on the expansion is off by one in < 1 of 1,000 draws


class Stream:
    """Random numbers for each of n images; every call draws new ones.

    Args:
        images: (n, c, h, w); images that are equal in float32 get equal numbers.
        purpose: what the numbers are for; each purpose has numbers of its own.
        seed: each seed gives other numbers.
    """

    def __init__(self, images: Float[Tensor, "n c h w"], purpose: str, seed: int) -> None:
        self._like = images
        words = hashlib.sha256(f"{purpose}\0{seed}".encode()).digest()
        start = int.from_bytes(words[:8], "little", signed=True)
        bits = (images.detach().float() + 0.0).flatten(1).contiguous().view(torch.int32).long()  # + 0: -0 is 0
        # a sum that wraps around; each word is mixed with its position, so that the order of the pixels matters
        self._key = _mix(_mix(bits ^ _counters(bits.shape[1], 0, bits.device)).sum(1) + start)
        self._used = 0

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in (0, 1), never at its ends: (n, *shape), of the images' dtype and device."""
        count = math.prod(shape)
        numbers = _mix(self._key[:, None] + _counters(count, self._used, self._key.device))
        self._used += count
        share = ((numbers >> 11) & ((1 << 53) - 1)).double() + 0.5  # the upper 53 bits, and half a step
        least = torch.finfo(self._like.dtype).eps / 2
        return (share * 2.0**-53).to(self._like.dtype).clamp(least, 1 - least).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Numbers of mean 0 and standard deviation 1: (n, *shape)."""
        numbers: Tensor = torch.special.ndtri(self.uniform(*shape))
        return numbers

    def poisson(self, mean: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Poisson variables with these means: quantiles of uniform numbers."""
        shape = mean.shape
        share, mean = self.uniform(*shape[1:]).double().flatten(), mean.double().flatten()
        counts = _many(share, mean.clamp(min=_NORMAL_FROM))
        few = (mean < _NORMAL_FROM).nonzero()[:, 0]
        counts[few] = _few(share[few], mean[few])
        return counts.to(self._like.dtype).view(shape)


def _counters(count: int, start: int, device: torch.device) -> Int64[Tensor, " count"]:
    return torch.arange(start + 1, start + 1 + count, device=device) * _GAMMA


def _mix(z: Tensor) -> Tensor:
    """A bijection of 64 bits in which each input bit flips about half of the output bits; products wrap around."""
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _FIRST  # masked, because torch shifts in copies of the sign bit
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _SECOND
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def _many(share: Tensor, mean: Tensor) -> Tensor:
    """Poisson quantiles for large means, by Giles' expansion about the normal quantile."""
    w, root = torch.special.ndtri(share), mean.sqrt()
    counts: Tensor = mean + root * w + (1 / 3 + w.square() / 6) - (w / 36 + w.pow(3) / 72) / root
    return counts.floor().clamp(min=0)


def _few(share: Tensor, mean: Tensor) -> Tensor:
    """Poisson quantiles for small means: counts up while the cumulative probability is below the share."""
    counts = torch.zeros_like(mean)
    chance = torch.exp(-mean)
    below = chance.clone()
    largest = float(mean.max()) if len(mean) else 0.0
    most = int(largest + 12 * math.sqrt(largest) + 12)  # shares end at 1 - 2^-54: 8.2 standard deviations
    for count in range(1, most + 1):
        counts += share > below
        chance = chance * mean / count
        below += chance
    return counts
