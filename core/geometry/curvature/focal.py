"""The focal test: the curvature at a boundary point shows whether it can be the nearest one.

Let z be a point of the boundary with x = z + D n. A boundary point at a small tangential offset s along a principal
direction of curvature k lies at the squared distance D² + (1 + k D) s². So z is a local minimum of the distance only if

    1 + k D >= 0 for all principal curvatures k;

where one is below -1 / D, the boundary closes around the image faster than a sphere around it, z is a saddle of the
distance, and there are nearer points along that principal direction.

Reference: Milnor, Morse Theory, 1963, section 6 (focal points of a hypersurface).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import zero_between
from core.geometry.boundary.closest_point import closest_points
from core.geometry.boundary.signed_margin import SignedMargin, length, per_row

Images = Float[Tensor, "n c h w"]

_SLACK = 1e-3  # of 1 + k D: a sphere around the image has exactly 0
_OFFSETS = (0.05, -0.05, 0.2, -0.2, 0.6, -0.6, 1.2, -1.2)  # of the distance, along a principal direction
_NEARER = 1e-4  # of the distance: smaller gains do not count
_BEYOND = 0.02
_MOST_SLIDES = 50


def is_saddle(smallest: Float[Tensor, " n"], distance: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Whether the smallest principal curvature shows that there are nearer boundary points near this one."""
    return 1 + smallest * distance < -_SLACK


def nearer_points(
    margin: SignedMargin, images: Images, points: Images, source: Int[Tensor, " n"], directions: Images
) -> tuple[Images, Bool[Tensor, " n"]]:
    """Look for nearer boundary points along principal directions, and slide from there to the nearest.

    Args:
        margin: the signed margin.
        images: the images.
        points: boundary points that failed the test.
        source: the class of each image.
        directions: the principal direction of the smallest curvature of each, of length 1.

    Returns:
        The points, and which of them are new.
    """
    distance = length(points - images, 2)
    best, least = points.clone(), distance * (1 - _NEARER)
    for offset in _OFFSETS:
        there = points + per_row(offset * distance) * directions
        beyond = margin(there, source) < 0  # elsewhere no zero is bracketed on the ray, and the point is not taken
        found, closed = zero_between(margin, images, there, source, 1e-6)
        far = length(found - images, 2)
        better = beyond & closed & (far < least)
        best = found.where(per_row(better), best)
        least = torch.where(better, far, least)
    moved = least < distance * (1 - _NEARER)
    if not bool(moved.any()):
        return points, moved
    rows = moved.nonzero()[:, 0]
    slid, _ = closest_points(
        margin, images[rows], best[rows], source[rows], norm=2, max_steps=_MOST_SLIDES, tick=lambda part: None
    )
    behind = slid + _BEYOND * (slid - images[rows])
    enclosed = margin(behind, source[rows]) < 0
    exact, closed = zero_between(margin, images[rows], behind, source[rows], 1e-6)
    usable = enclosed & closed & (length(exact - images[rows], 2) < least[rows])
    best[rows] = exact.where(per_row(usable), best[rows])
    return best, moved
