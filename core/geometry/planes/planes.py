"""Planes through image space: x(a, b) = origin + a u + b v with orthonormal u, v.

The axes u, v are orthonormal in the ℓ2 norm of pixels in [0, 1], flattened to vectors, so a plane is isometric: a
length in the plane is the length of a perturbation. Everything here is float64 on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError

Extent = tuple[float, float, float, float]  # x_min, x_max, y_min, y_max in plane coordinates

_SMALLEST_ANGLE = 1e-3  # sine of the angle below which two directions do not span a plane


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane with orthonormal axes; made by `through` or `spanned`.

    Attributes:
        origin: the image at (0, 0), float64 (c, h, w).
        u: first axis, unit length, float64 (c, h, w).
        v: second axis, unit length and orthogonal to u, float64 (c, h, w).
        x_label: title of the x axis in figures, which is in the direction of u.
        y_label: title of the y axis, in the direction of v.
    """

    origin: Tensor
    u: Tensor
    v: Tensor
    x_label: str = ""
    y_label: str = ""

    @classmethod
    def through(cls, a: Tensor, b: Tensor, c: Tensor, *, x_label: str = "", y_label: str = "") -> Plane:
        """The plane through three images: a at the origin, b on the positive x axis, c on the side of +v.

        Args:
            a: image (c, h, w).
            b: image of the same shape.
            c: image of the same shape.
            x_label: title of the x axis.
            y_label: title of the y axis.

        Returns:
            The plane; `to_plane` returns the coordinates of the three images.

        Raises:
            ImageError: if the images do not span a plane: two are equal, or all are on one line.

        >>> a, b, c = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[1.0, 2.0]]])
        >>> Plane.through(a, b, c).to_plane(torch.stack([b, c])).tolist()
        [[3.0, 0.0], [1.0, 2.0]]
        """
        origin, first, second = _alike(a, b, c)
        return cls.spanned(origin, first - origin, second - origin, x_label=x_label, y_label=y_label)

    @classmethod
    def spanned(cls, origin: Tensor, u: Tensor, v: Tensor, *, x_label: str = "", y_label: str = "") -> Plane:
        """The plane through an image spanned by two directions; u keeps its direction, v is made orthogonal to it.

        Gram-Schmidt runs twice in float64, so that the axes are orthogonal up to rounding.

        Args:
            origin: image (c, h, w).
            u: direction of the same shape, of any length.
            v: direction of the same shape, of any length.
            x_label: title of the x axis.
            y_label: title of the y axis.

        Returns:
            The plane.

        Raises:
            ImageError: if the shapes differ, a value is not finite, or the directions do not span a plane.
        """
        origin, first, second = _alike(origin, u, v)
        lengths = float(first.norm()), float(second.norm())
        if min(lengths) == 0:
            raise ImageError("expected three different images to span a plane, got two that are equal")
        first = first / first.norm()
        for _ in range(2):
            second = second - (second * first).sum() * first
        if float(second.norm()) < _SMALLEST_ANGLE * lengths[1]:
            raise ImageError("expected three images that span a plane, got three on one line; choose another third one")
        return cls(origin, first, second / second.norm(), x_label, y_label)

    def to_pixels(self, xy: Tensor | np.ndarray) -> Float[Tensor, "n c h w"]:
        """The images at plane coordinates.

        Args:
            xy: (n, 2) coordinates in ℓ2 pixel units.

        Returns:
            float64 images, which outside the pixel box have values outside [0, 1].
        """
        points = torch.as_tensor(xy, dtype=torch.float64)
        return self.origin + torch.einsum("na,achw->nchw", points, torch.stack([self.u, self.v]))

    def to_plane(self, images: Tensor) -> Float[Tensor, "n 2"]:
        """Coordinates of the foot of the perpendicular from each image, float64."""
        offsets = _float64(images) - self.origin
        return torch.einsum("nchw,achw->na", offsets, torch.stack([self.u, self.v]))

    def residual(self, images: Tensor) -> Float[Tensor, " n"]:
        """Distance of each image (n, c, h, w) from the plane, in ℓ2 pixel units."""
        off = _float64(images) - self.to_pixels(self.to_plane(images))
        return off.flatten(1).square().sum(1).sqrt()

    def box_polygon(self) -> np.ndarray:
        """The part of the plane where every pixel is in [0, 1], as an exact convex polygon.

        Each pixel bounds the plane by two half-planes. A square that contains the whole box is clipped by the
        half-plane that cuts off most, until none cuts off anything, which takes about as many steps as the polygon has
        corners.

        Returns:
            (m, 2) corners, counter-clockwise; (0, 2) where the plane misses the box.
        """
        axes = torch.stack([self.u.flatten(), self.v.flatten()], 1).numpy()
        start = self.origin.flatten().numpy()
        normals = np.concatenate([axes, -axes])  # normal . p <= offset
        offsets = np.concatenate([1 - start, start])
        lengths = np.linalg.norm(normals, axis=1)
        flat = lengths < 1e-12  # pixels that do not change on this plane
        if (offsets[flat] < -1e-12).any():
            return np.empty((0, 2))
        normals, offsets = normals[~flat] / lengths[~flat, None], offsets[~flat] / lengths[~flat]
        # every point of the box is within half a diagonal of its centre
        reach = float((self.origin - 0.5).norm()) + 0.5 * math.sqrt(self.origin.numel()) + 1
        corners = reach * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
        while len(corners):
            beyond = (normals @ corners.T).max(1) - offsets
            worst = int(beyond.argmax())
            if beyond[worst] <= 1e-12 * reach:
                break
            corners = _clip(corners, normals[worst], offsets[worst])
        return corners

    def square(self, points: np.ndarray, margin: float = 1.5) -> Extent:
        """A square extent around points of the plane.

        Args:
            points: (n, 2) plane coordinates.
            margin: side of the square over the larger side of the points' bounding box.

        Returns:
            An extent centred on the bounding box; of side 1 where all points coincide.
        """
        low, high = points.min(0), points.max(0)
        half = 0.5 * margin * (float((high - low).max()) or 1 / margin)
        x, y = (float(value) for value in (low + high) / 2)
        return x - half, x + half, y - half, y + half


def _alike(*images: Tensor) -> list[Tensor]:
    """Images as float64, checked to be finite and of one shape (c, h, w)."""
    exact = [_float64(image) for image in images]
    if any(image.ndim != 3 or image.shape != exact[0].shape for image in exact):
        shapes = ", ".join(" x ".join(map(str, image.shape)) for image in exact)
        raise ImageError(f"expected three images of one shape (c, h, w) to span a plane, got {shapes}")
    if not all(bool(torch.isfinite(image).all()) for image in exact):
        raise ImageError("expected finite pixel values to span a plane, got NaN or infinity")
    return exact


def _float64(image: Tensor) -> Tensor:
    return torch.as_tensor(image).detach().to("cpu", torch.float64)


def _clip(corners: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The part of a convex polygon where normal . p <= offset."""
    heights = corners @ normal - offset
    kept = []
    for here, there, low, high in zip(corners, np.roll(corners, -1, 0), heights, np.roll(heights, -1), strict=True):
        if low <= 0:
            kept.append(here)
        if (low < 0 < high) or (high < 0 < low):
            kept.append(here + (there - here) * (low / (low - high)))
    return np.array(kept).reshape(-1, 2) if len(kept) >= 3 else np.empty((0, 2))


def float32_floor(input_shape: tuple[int, int, int]) -> float:
    """The grid step below which rounding dominates slices in float32, so that float64 is needed.

    A step of h moves each of D pixels by about h / sqrt(D), while pixels in [0.5, 1) are multiples of 2^-24 in float32:
    the floor is c sqrt(D) 2^-24. c = 16 was measured on grids of 128 x 128 across a boundary. There the labels that
    differ from float64's are 0.006 % on demo:photos/standard, 0.06 % (0.18 % at worst) on demo:digits/standard and
    0.05 % on an affine model of 3 x 224 x 224 pixels, and the margin is wrong by at most 0.04, 0.3 and 0.4 of what one
    step changes it by. Both grow about as 1 / h below.

    >>> f"{float32_floor((3, 32, 32)):.1e}"
    '5.3e-05'

    Args:
        input_shape: (c, h, w) of one image.

    Returns:
        A distance between neighbouring grid points, in ℓ2 pixel units.
    """
    return 16 * math.sqrt(math.prod(input_shape)) * 2.0**-24
