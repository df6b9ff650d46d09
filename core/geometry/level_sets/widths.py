"""How wide a level set is: the distance from a point, sideways, at which the confidence falls below the level.

At a point x of a walk, and for a unit vector u, let the width be the first radius r at which clip(x + r u) has a
confidence below a level p_s - delta; clip brings pixels back into [0, 1]. The length of a width is that of clip(x + r
u) - x, which is shorter than r where pixels stick at the walls. Directions are random, orthogonal to the way the walk
goes there and, for tangent widths, to the gradient of the log-odds: first-order neighbours on the level set itself. In
high dimension nearly every direction is nearly tangent, so that these widths are large; the one along the gradient is
not among them.

Widths are looked for at doubling radii up to the diagonal of the box, then bisected; a gap between two of those radii
is not seen. The q-quantile of widths is the radius up to which a share 1 - q of the directions stays inside.

Reference: Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS
2023 (arXiv 2310.19889), who draw the confidence over radius and step instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.signed_margin import length
from core.geometry.level_sets.log_odds import LogOdds, log_odds
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_Rays = Callable[[Tensor], Tensor]  # from numbers to unit vectors (m, pixels): the first point's, the second's, ...

_DOUBLINGS = 10  # of the first radius: the diagonal of the box over 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelSetWidths(ClassifierResult):
    """Widths of level sets at n points, along several directions each; NaN where the point is not inside."""

    radius: np.ndarray = quantity("ℓ2 pixel", "n direction")  # where the confidence falls below the level
    length: np.ndarray = quantity("ℓ2 pixel", "n direction")  # of the way there, after clipping
    bounded: np.ndarray = quantity("", "n direction")  # False: inside up to the box's diagonal, the largest radius
    level: np.ndarray = quantity("", "n")  # confidence
    confidence: np.ndarray = quantity("", "n")  # at the point
    source_class: np.ndarray = quantity("", "n")
    tolerance: float = quantity("")
    tangent: bool = quantity("")

    def width(self, share: float = 0.05, *, clipped: bool = True) -> np.ndarray:
        """(n,) the width that this share of the directions does not reach.

        Args:
            share: 0.05 is the 5 % quantile.
            clipped: lengths after clipping; else radii.

        Returns:
            In ℓ2 pixel units; NaN where the point is not inside.
        """
        widths: np.ndarray = np.quantile(self.length if clipped else self.radius, share, axis=1)
        return widths


@counted
def level_set_widths(
    classifier: Classifier,
    points: Float[Tensor, "n c h w"],
    towards: Float[Tensor, "n c h w"],
    source_class: np.ndarray,
    level: np.ndarray,
    *,
    directions: int | Float[Tensor, "n d c h w"] = 256,
    tangent: bool = True,
    tolerance: float = 1e-3,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> LevelSetWidths:
    """Measure how wide superlevel sets are around points.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        points: images in [0, 1], as a rule on a walk.
        towards: direction of the walk at each point, of any length; random directions are orthogonal to it. 0 for none.
        source_class: (n,) the class whose confidence counts.
        level: (n,) the confidence below which a point is outside.
        directions: number of random directions; or the directions themselves, of any length.
        tangent: also make random directions orthogonal to the gradient of the log-odds.
        tolerance: length of the last interval, relative to the radius, or to a thousandth of the box's diagonal where
            that is more.
        seed: seed of the random directions.
        on_progress: called with the fraction done.

    Returns:
        Widths in each direction.

    Raises:
        ValueError: if there is no point, an argument does not have a row for each, or an option is out of range.
        ImageError: if a point leaves [0, 1], a value is not finite, or the shape is not the classifier's.
    """
    pixels, onward = classifier.accept(points), classifier.accept(towards)
    count, size = len(pixels), classifier.input_shape
    if not count or not count == len(onward) == len(source_class) == len(level):
        came = f"{count}, {len(onward)}, {len(source_class)} and {len(level)}"
        raise ValueError(f"expected a way, a class and a level for each of one or more points, got {came}")
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("expected points in [0, 1], got others; widths are measured in the pixel box: clip them")
    if not (0 < tolerance < 1 and bool(np.all((level > 0) & (level < 1)))):
        raise ValueError(f"expected a tolerance and levels in (0, 1), got {tolerance} and {level.tolist()[:9]}")
    if not bool(np.all((source_class >= 0) & (source_class < classifier.num_classes))):
        raise ValueError(f"expected classes below {classifier.num_classes}, got {source_class.tolist()[:9]}")
    if isinstance(directions, int) and directions < 1:
        raise ValueError(f"expected at least one direction, got {directions}")
    if isinstance(directions, Tensor) and directions.shape[:1] + directions.shape[2:] != (count, *size):
        raise ValueError(f"expected directions of {(count, 'd', *size)}, got {tuple(directions.shape)}")
    with engine_mode(classifier.device):
        batches = classifier.batches()
        odds = LogOdds(classifier, batches.size)
        classes = torch.from_numpy(source_class.astype(np.int64)).to(classifier.device)
        least = torch.from_numpy(level.astype(np.float64)).logit().to(odds.dtype).to(classifier.device)
        value, gradient, _ = odds.slope(pixels.to(odds.dtype), classes)
        if isinstance(directions, Tensor):
            number = directions.shape[1]
            rays = _given(directions.to(classifier.device, odds.dtype).flatten(2))
        else:
            number, normals = directions, [onward.to(odds.dtype), *([gradient] if tangent else [])]
            rays = _random(_orthonormal([normal.flatten(1) for normal in normals]), directions, seed)

        def inside(numbers: Tensor, radius: Tensor, report: Callable[[float], None]) -> Tensor:
            def look(part: Tensor) -> Tensor:
                row = numbers[part] // number
                there = _reached(pixels[row].to(odds.dtype), rays(numbers[part]), radius[part])
                return log_odds(classifier(there.to(classifier.dtype)).to(odds.dtype), classes[row]) >= least[row]

            return batches(look, torch.arange(len(numbers), device=numbers.device), report)

        radius, bounded = _widths(inside, value >= least, number, math.sqrt(math.prod(size)), tolerance, on_progress)
        every = torch.arange(count * number, device=classifier.device)

        def true_length(numbers: Tensor) -> Tensor:
            start = pixels[numbers // number].to(odds.dtype)
            return length(_reached(start, rays(numbers), radius[numbers]) - start, 2)

        lengths = torch.cat([true_length(part) for part in every.split(batches.size)])
    return LevelSetWidths(
        radius=radius.view(count, number).cpu().numpy(),
        length=lengths.view(count, number).cpu().numpy(),
        bounded=bounded.view(count, number).cpu().numpy(),
        level=np.asarray(level, np.float64),
        confidence=value.sigmoid().cpu().numpy(),
        source_class=source_class.astype(np.int32),
        tolerance=tolerance,
        tangent=tangent,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _given(directions: Tensor) -> _Rays:
    """Directions (n, d, pixels) as they are.

    Raises:
        ValueError: if one has no length.
    """
    size = directions.norm(dim=2, keepdim=True)
    if not bool(((size > 0) & torch.isfinite(size)).all()):
        raise ValueError("expected directions of finite lengths above 0, got others; leave them out")
    units = (directions / size).flatten(0, 1)
    return lambda numbers: units[numbers]


def _random(normals: Tensor, count: int, seed: int) -> _Rays:
    """The same random directions for every point, made orthogonal to its normals (n, k, pixels): one set to keep."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.randn((count, normals.shape[2]), generator=generator, dtype=torch.float64)
    every = every.to(normals.device, normals.dtype)

    def rays(numbers: Tensor) -> Tensor:
        drawn, across = every[numbers % count], normals[numbers // count]
        for _ in range(2):  # twice: after the first, rounding of the long part is left
            drawn = drawn - torch.einsum("mk,mkd->md", torch.einsum("md,mkd->mk", drawn, across), across)
        unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
        return unit

    return rays


def _orthonormal(vectors: list[Tensor]) -> Tensor:
    """(n, k, d) an orthonormal basis of what k vectors (n, d) span; 0 where one adds nothing."""
    basis: list[Tensor] = []
    for vector in vectors:
        left, full = vector, vector.norm(dim=1, keepdim=True)
        for other in basis * 2:
            left = left - (left * other).sum(1, keepdim=True) * other
        size = left.norm(dim=1, keepdim=True)
        new = size > 1e-6 * full
        basis.append(torch.where(new, left / size.where(new, 1.0), 0.0))
    return torch.stack(basis, 1)


def _reached(points: Tensor, directions: Tensor, radius: Tensor) -> Tensor:
    """clip(x + r u)."""
    return (points.flatten(1) + radius[:, None] * directions).clamp(0, 1).view_as(points)


def _widths(
    inside: Callable[[Tensor, Tensor, Callable[[float], None]], Tensor],
    begins: Tensor,
    number: int,
    furthest: float,
    tolerance: float,
    on_progress: OnProgress,
) -> tuple[Tensor, Tensor]:
    """The radius of each direction, and whether it ends before the furthest: doubling, then bisection."""
    high = torch.full((len(begins) * number,), furthest, device=begins.device)
    low, running = torch.zeros_like(high), begins.repeat_interleave(number)
    bounded = torch.zeros_like(running)
    total = _DOUBLINGS + 1 + math.ceil(math.log2(1 / tolerance))
    for done in range(total):
        doubles = done <= _DOUBLINGS
        rows = (running if doubles else bounded).nonzero()[:, 0]
        if not len(rows):
            continue
        middle = (low[rows] + high[rows]) / 2
        radius = torch.full_like(middle, furthest / 2 ** (_DOUBLINGS - done)) if doubles else middle
        stays = inside(rows, radius, part_of(on_progress, done / total, (done + 1) / total))
        low[rows] = torch.where(stays, radius, low[rows])
        high[rows] = torch.where(stays, high[rows], radius)
        if doubles:
            bounded[rows], running[rows] = ~stays, stays
    radius = torch.where(bounded, (low + high) / 2, furthest)
    return radius.where(begins.repeat_interleave(number), torch.nan), bounded
