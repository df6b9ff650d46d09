"""Subspaces of image space: bands of spatial frequency, patches, colour axes, principal components of a set.

Each is spanned by some of the atoms b_i of one orthonormal basis. With the coefficients c_i = <b_i, g> of a vector g
of image space, its projection onto the subspace of the atoms in S is

    P_S g = sum over i in S of c_i b_i,

the nearest point of the subspace to g. The b_i of frequencies, patches and colours are never stored: there the
coefficients are two small matrix products, the pixels themselves, or a mix of channels.

Frequencies are those of the orthonormal two-dimensional DCT-II of each channel, whose atoms
cos(pi (2 y + 1) P / 2 h) cos(pi (2 x + 1) Q / 2 w) have P half waves from top to bottom and Q from left to right.

References: DCT: Ahmed, Natarajan, Rao, Discrete cosine transform, IEEE Transactions on Computers, 1974. Windows along
the diagonal: Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight! Influence of discriminative features on
deep network boundaries, NeurIPS 2020 (arXiv 2002.06349).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Kind = Literal["windows", "frequencies", "patches", "colours", "principal"]

_MOST_IMAGES = 512  # of a set, for its principal components
_MOST_COMPONENTS = 256  # that are grouped in octaves; the rest of the space is one subspace
_FLAT = 1e-10  # of the largest variance: smaller ones are rounding errors


class Basis:
    """An orthonormal basis, or a tight frame whose coefficients have the length of the image: here, the pixels.

    Subclasses are other bases.
    """

    def coefficients(self, images: Float[Tensor, "n c h w"]) -> Tensor:
        """The coefficients of each image, (n, ...)."""
        return images

    def images(self, coefficients: Tensor) -> Float[Tensor, "n c h w"]:
        """The images with these coefficients."""
        return coefficients

    def to(self, device: torch.device, dtype: torch.dtype) -> Basis:
        """The same basis on another device, in another dtype."""
        return self


@dataclass(frozen=True, eq=False)
class Subspaces:
    """A family of subspaces, each spanned by some atoms of one basis.

    Attributes:
        kind: of the subspaces.
        basis: whose atoms span them.
        masks: (s, ...) bool: which coefficients are in each subspace; of size 1 along axes where they do not differ.
        labels: names of the subspaces.
        dimension: of each subspace.
        bounds: of each, the first row and the one after the last, then the columns: of half waves, or of pixels; empty
            where the subspaces are not rectangles.
        shape: (c, h, w) of an image.
    """

    kind: Kind
    basis: Basis
    masks: Tensor
    labels: tuple[str, ...]
    dimension: tuple[int, ...]
    bounds: tuple[tuple[int, int, int, int], ...]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def whole(self) -> int:
        """The dimension of image space."""
        return math.prod(self.shape)

    @property
    def complete(self) -> bool:
        """Whether each atom is in exactly one subspace, so that the projections add up to the image."""
        return sum(self.dimension) == self.whole and bool((self.masks.sum(0) <= 1).all())

    @property
    def contained(self) -> Bool[Tensor, "s s"]:
        """In row i and column j, whether subspace j contains subspace i."""
        atoms = self.masks.flatten(1).double()
        return atoms @ atoms.T == atoms.sum(1, keepdim=True)

    def project(self, images: Float[Tensor, "n c h w"], which: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        """The projection of each image onto the subspace with its number."""
        return self.basis.images(self.basis.coefficients(images) * self.masks[which])

    def with_whole(self) -> Subspaces:
        """The same family with image space itself as its last member."""
        return replace(
            self,
            masks=torch.cat([self.masks, torch.ones_like(self.masks[:1])]),
            labels=(*self.labels, "all of image space"),
            dimension=(*self.dimension, self.whole),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Subspaces:
        """The same family on another device; its basis in another dtype."""
        return replace(self, masks=self.masks.to(device), basis=self.basis.to(device, dtype))


# -- frequencies ------------------------------------------------------------------------------------------------------


def frequency_windows(shape: Sequence[int], block: int = 8, stride: int = 4) -> Subspaces:
    """Square windows of frequencies, from the lowest ones up the diagonal to high frequencies in both directions.

    Neighbours overlap, and mixed frequencies (low in one direction, high in the other) are in none of them. Where
    images are not square the diagonal ends at the highest frequency of the shorter side.

    Args:
        shape: (c, h, w) of an image.
        block: frequencies per side of a window, in half waves.
        stride: from one window to the next, in half waves.

    Returns:
        Subspaces of dimension c block².

    Raises:
        ValueError: if no window fits, or the stride is not positive.
    """
    _, height, width = shape
    _fits(block, min(height, width), "window")
    if stride < 1:
        raise ValueError(f"expected a stride of at least 1, got {stride}")
    starts = range(0, min(height, width) - block + 1, stride)
    return _rectangles("windows", shape, [(at, at + block, at, at + block) for at in starts])


def frequency_blocks(shape: Sequence[int], block: int = 8) -> Subspaces:
    """All frequencies, cut into squares: rows of blocks from low to high vertical, columns horizontal frequency.

    Args:
        shape: (c, h, w) of an image.
        block: frequencies per side, in half waves; the last row and column of blocks may be narrower.

    Returns:
        Subspaces whose projections add up to the image.

    Raises:
        ValueError: if not even one block fits.
    """
    return _rectangles("frequencies", shape, _tiles(shape, block))


def frequency_band(shape: Sequence[int], down: int, across: int, block: int = 8) -> Subspaces:
    """One square of frequencies.

    Args:
        shape: (c, h, w) of an image.
        down: its lowest vertical frequency, in half waves.
        across: its lowest horizontal frequency.
        block: frequencies per side; fewer where the spectrum ends.

    Returns:
        A family of one subspace.

    Raises:
        ValueError: if the band begins beyond the highest frequency.
    """
    _, height, width = shape
    if not (0 <= down < height and 0 <= across < width) or block < 1:
        raise ValueError(
            f"expected a band that begins between 0,0 and {height - 1},{width - 1}, got {down},{across}; choose another"
        )
    return _rectangles("frequencies", shape, [(down, min(down + block, height), across, min(across + block, width))])


def patches(shape: Sequence[int], block: int = 8) -> Subspaces:
    """All pixels, cut into square patches, each with all of its channels.

    Args:
        shape: (c, h, w) of an image.
        block: pixels per side; the last row and column of patches may be narrower.

    Returns:
        Subspaces whose projections add up to the image.

    Raises:
        ValueError: if not even one patch fits.
    """
    return _rectangles("patches", shape, _tiles(shape, block))


def _fits(block: int, most: int, what: str) -> None:
    if not 1 <= block <= most:
        raise ValueError(f"expected a {what} of 1 to {most} per side for these images, got {block}")


def _tiles(shape: Sequence[int], block: int) -> list[tuple[int, int, int, int]]:
    _, height, width = shape
    _fits(block, min(height, width), "block")
    return [
        (top, min(top + block, height), left, min(left + block, width))
        for top in range(0, height, block)
        for left in range(0, width, block)
    ]


def _rectangles(
    kind: Literal["windows", "frequencies", "patches"],
    shape: Sequence[int],
    bounds: Sequence[tuple[int, int, int, int]],
) -> Subspaces:
    channels, height, width = shape
    masks = torch.zeros((len(bounds), 1, height, width), dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(masks, bounds, strict=True):
        mask[0, top:bottom, left:right] = True
    sides = "rows {}–{}, columns {}–{}" if kind == "patches" else "{}–{} down, {}–{} across"
    return Subspaces(
        kind=kind,
        basis=Basis() if kind == "patches" else Cosines.of(height, width),
        masks=masks,
        labels=tuple(sides.format(top, bottom - 1, left, right - 1) for top, bottom, left, right in bounds),
        dimension=tuple((channels * masks.flatten(1).sum(1)).tolist()),
        bounds=tuple(bounds),
        shape=(channels, height, width),
    )


@dataclass(frozen=True, eq=False)
class Cosines(Basis):
    """The orthonormal DCT-II of each channel: D_h g D_w^T, and back D_h^T c D_w."""

    rows: Tensor  # D_h
    columns: Tensor  # D_w

    @classmethod
    def of(cls, height: int, width: int) -> Cosines:
        """The basis of images of that size."""
        import numpy as np
        from scipy.fft import dct

        rows, columns = (torch.from_numpy(dct(np.eye(size), norm="ortho", axis=0)) for size in (height, width))
        return cls(rows, columns)

    def coefficients(self, images: Tensor) -> Tensor:
        """(n, c, h, w): the position in a channel is the number of half waves down and across."""
        return self.rows @ (images @ self.columns.T)

    def images(self, coefficients: Tensor) -> Tensor:
        """Back to pixels."""
        return self.rows.T @ (coefficients @ self.columns)

    def to(self, device: torch.device, dtype: torch.dtype) -> Cosines:
        """On another device, in another dtype."""
        return Cosines(self.rows.to(device, dtype), self.columns.to(device, dtype))


# -- colours ----------------------------------------------------------------------------------------------------------

_OPPONENT = (("lightness", (1, 1, 1)), ("red – green", (1, -1, 0)), ("yellow – blue", (1, 1, -2)))


def colour_axes(shape: Sequence[int]) -> Subspaces:
    """One direction in colour space each, over all pixels: lightness, red against green, yellow against blue.

    Args:
        shape: (c, h, w) of an image; unless it has three channels, each channel is an axis.

    Returns:
        Subspaces of dimension h w whose projections add up to the image.
    """
    channels, height, width = shape
    named = [(f"channel {k}", tuple(float(k == j) for j in range(channels))) for k in range(channels)]
    labels, axes = zip(*(_OPPONENT if channels == 3 else named), strict=True)
    mixed = torch.tensor(axes, dtype=torch.float64)
    return Subspaces(
        kind="colours",
        basis=Colours(mixed / mixed.norm(dim=1, keepdim=True)),
        masks=torch.eye(channels, dtype=torch.bool).view(channels, channels, 1, 1),
        labels=tuple(labels),
        dimension=(height * width,) * channels,
        bounds=(),
        shape=(channels, height, width),
    )


@dataclass(frozen=True, eq=False)
class Colours(Basis):
    """Orthonormal mixes of the channels."""

    axes: Tensor  # (c, c)

    def coefficients(self, images: Tensor) -> Tensor:
        """(n, c, h, w): the part of each pixel along each axis."""
        return torch.einsum("kc,nchw->nkhw", self.axes, images)

    def images(self, coefficients: Tensor) -> Tensor:
        """Back to channels."""
        return torch.einsum("kc,nkhw->nchw", self.axes, coefficients)

    def to(self, device: torch.device, dtype: torch.dtype) -> Colours:
        """On another device, in another dtype."""
        return Colours(self.axes.to(device, dtype))


# -- principal components ---------------------------------------------------------------------------------------------


def principal_components(images: Float[Tensor, "n c h w"]) -> Subspaces:
    """Octaves of the principal components of images: 1, 2, 3–4, 5–8, ... and, last, the rest of the space.

    Args:
        images: at least two that differ; of more than 512, an evenly spaced part is used.

    Returns:
        Subspaces whose projections add up to the image.

    Raises:
        ValueError: if the images do not differ.
    """
    channels, height, width = (int(size) for size in images.shape[1:])
    space = channels * height * width
    chosen = images[:: -(-len(images) // _MOST_IMAGES)].detach().to("cpu", torch.float64).flatten(1)
    chosen = chosen - chosen.mean(0)
    few = len(chosen) < space  # both Gram matrices have the same variances: take the smaller one
    variances, vectors = torch.linalg.eigh(chosen @ chosen.T if few else chosen.T @ chosen)
    variances, vectors = variances.flip(0), vectors.flip(1)
    known = int((variances > _FLAT * variances[0]).sum()) if variances[0] > 0 else 0
    if not known:
        raise ValueError(
            "expected images that differ, to find their principal components, got equal ones; choose others"
        )
    known = min(known, _MOST_COMPONENTS)
    ends = [0, *(2**power for power in range(known.bit_length()))]
    known = ends[-1]
    vectors = vectors[:, :known]
    directions = torch.linalg.qr(chosen.T @ vectors if few else vectors).Q  # orthogonal to rounding
    groups = list(itertools.pairwise(ends))
    masks = torch.zeros((len(groups) + 1, known + space), dtype=torch.bool)
    for mask, (start, end) in zip(masks, groups, strict=False):
        mask[start:end] = True
    masks[-1, known:] = True
    rest = space - known
    sizes = [end - start for start, end in groups] + [rest]
    labels = [f"{start + 1}–{end}" if end - start > 1 else f"{end}" for start, end in groups] + ["the rest"]
    there = len(sizes) if rest else len(groups)
    return Subspaces(
        kind="principal",
        basis=Components(directions.T.contiguous(), (channels, height, width)),
        masks=masks[:there],
        labels=tuple(labels[:there]),
        dimension=tuple(sizes[:there]),
        bounds=(),
        shape=(channels, height, width),
    )


@dataclass(frozen=True, eq=False)
class Components(Basis):
    """A few orthonormal directions; their coefficients are followed by the remainder of the image."""

    directions: Tensor  # (r, c h w)
    shape: tuple[int, int, int]

    def coefficients(self, images: Tensor) -> Tensor:
        """(n, r + c h w)."""
        flat = images.flatten(1)
        along = flat @ self.directions.T
        return torch.cat([along, flat - along @ self.directions], 1)

    def images(self, coefficients: Tensor) -> Tensor:
        """Back to pixels."""
        along, rest = coefficients.split([len(self.directions), coefficients.shape[1] - len(self.directions)], 1)
        images: Tensor = (along @ self.directions + rest).view(-1, *self.shape)
        return images

    def to(self, device: torch.device, dtype: torch.dtype) -> Components:
        """On another device, in another dtype."""
        return Components(self.directions.to(device, dtype), self.shape)
