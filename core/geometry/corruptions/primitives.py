"""The three primitives of PRIME: a random filter, a random smooth displacement, a random colour curve.

Each is the distribution of largest entropy under a limit on size and smoothness, which makes the coefficients
independent Gaussians. Images x are in [0, 1], and so is what comes out. With n the side of the image in pixels:

- `Spectral`: x' = clip((delta + w) * x), w_uv ~ N(0, s²), the same kernel for all channels of an image. delta stands in
  the middle of the kernel, so that w = 0 changes nothing; beyond its frame the image continues with its frame.
- `Spatial`: x'(p) = x(p - tau(p)), tau_c(u, v) = n sum_{i² + j² <= q²} b_ij sin(pi i u) sin(pi j v), u and v in [0, 1]
  from frame to frame, b_ij ~ N(0, T / (i² + j²)). The frame stays in place.
- `Colour`: x' = clip(x + sum_{k <= q} b_k sin(pi k x)), b_k ~ N(0, T), one curve per channel: 0 and 1 stay.

Such a displacement may fold the image. p -> p - tau(p), linear on the two triangles of each cell of four pixels, folds
where the determinant of I - grad tau is not positive on one of them; det(I - t A) = 0 exactly where 1 / t is an
eigenvalue of A. So tau is shrunk to t tau with t = min(1, 0.9 / largest real part of an eigenvalue of grad tau): then
all determinants are positive, and a map that is locally one-to-one and fixes the frame is one-to-one.

Strengths s, T and cut-offs q are drawn anew, and uniformly, for each image (Modas et al. draw one for the whole batch).

References: Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME: a few primitives can boost robustness to
common corruptions, ECCV 2022 (arXiv 2112.13547). Displacements: Petrini, Favero, Geiger, Wyart, Relative stability
toward diffeomorphisms indicates performance in deep nets, NeurIPS 2021 (arXiv 2105.02468).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Rows = Int[Tensor, " m"] | None  # which of the drawn ones; None for all in their order

_ENTRIES = 1024  # intervals of a colour curve's table: 10 to each half wave of the shortest default wave
_TINY = 1e-12  # square roots of numbers, not of 0: 4 times as fast
_OF_FOLDING = 0.9  # of the displacement at which the first fold appears


@dataclass(frozen=True, eq=False)
class Spectral:
    """One filter per image.

    Attributes:
        kernel: what each image is convolved with, (n, k, k) with k odd.
        strength: the s it was drawn with, (n,).
    """

    kernel: Float[Tensor, "n k k"]
    strength: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.kernel)

    def __call__(self, images: Float[Tensor, "n c h w"], rows: Rows = None) -> Float[Tensor, "n c h w"]:
        """The filtered images, each by its filter, or by those of these rows."""
        height, width = images.shape[2:]
        kernel, side = _of(self.kernel, rows).to(images), self.kernel.shape[-1]
        framed = F.pad(images, (side // 2,) * 4, mode="replicate")
        filtered = torch.zeros_like(images)
        # sums of shifted images: conv2d would prepare anew for each number of images, which takes longer than these
        for row in range(side):
            for column in range(side):
                shifted = framed[..., side - 1 - row :, side - 1 - column :][..., :height, :width]
                filtered.addcmul_(shifted, kernel[:, row, column].view(-1, 1, 1, 1))
        return filtered.clamp_(0, 1)

    def response(self, size: int) -> Float[Tensor, "n size size"]:
        """|Fourier transform| of each kernel at size x size frequencies, the constant one at [size // 2, size // 2]."""
        response: Tensor = torch.fft.fftshift(torch.fft.fft2(self.kernel, s=(size, size)), dim=(1, 2)).abs()
        return response


@dataclass(frozen=True, eq=False)
class Spatial:
    """One displacement per image.

    Attributes:
        field: tau in pixels, rows then columns, (n, 2, h, w).
        cutoff: the q it was drawn with, (n,).
        variance: the T it was drawn with, (n,).
        shrunk: the t that keeps it from folding, (n,); 1 where the field is as drawn.
    """

    field: Float[Tensor, "n 2 h w"]
    cutoff: Int[Tensor, " n"]
    variance: Float[Tensor, " n"]
    shrunk: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.field)

    def __call__(self, images: Float[Tensor, "n c h w"], rows: Rows = None) -> Float[Tensor, "n c h w"]:
        """The displaced images, bilinear between pixels; beyond its frame the image continues with its frame."""
        return displaced(images, _of(self.field, rows))

    def folding(self) -> Float[Tensor, " n"]:
        """The largest real part of an eigenvalue of grad tau: below 1, the displacement folds nothing."""
        return _compression(self.field)


@dataclass(frozen=True, eq=False)
class Colour:
    """One curve per image and channel.

    Attributes:
        coefficients: b_k, (n, c, k); 0 beyond the cut-off.
        cutoff: the q it was drawn with, (n,).
        variance: the T it was drawn with, (n,).
    """

    coefficients: Float[Tensor, "n c k"]
    cutoff: Int[Tensor, " n"]
    variance: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.coefficients)

    def __call__(self, images: Float[Tensor, "n c h w"], rows: Rows = None) -> Float[Tensor, "n c h w"]:
        """The images after their curves, read from a table with 1,025 entries and lines between them."""
        waves = _table(self.coefficients.shape[2], images.dtype, images.device)
        added = _of(self.coefficients, rows).to(images) @ waves
        place = (images * _ENTRIES).flatten(2)
        entry = place.long()
        change = added.gather(2, entry).addcmul_(added.diff(dim=2).gather(2, entry), place.frac_())
        return change.view_as(images).add_(images).clamp_(0, 1)

    def curve(self, values: Float[Tensor, " v"]) -> Float[Tensor, "n c v"]:
        """What each curve makes of these values in [0, 1]."""
        return (values + self.coefficients.to(values) @ _sines(self.coefficients.shape[2], values)).clamp(0, 1)


def displaced(images: Float[Tensor, "n c h w"], field: Float[Tensor, "n 2 #h #w"]) -> Float[Tensor, "n c h w"]:
    """x(p - tau(p)), bilinear between pixels.

    Args:
        images: x.
        field: tau in pixels, rows then columns; the same at every pixel where h and w are 1.

    Returns:
        The images; beyond its frame an image continues with its frame.
    """
    height, width = images.shape[2:]
    field = field.to(images).expand(-1, -1, height, width)
    # grid_sample's coordinates: columns before rows, -1 and 1 in the middle of the frame's pixels
    grid = images.new_empty(len(field), height, width, 2)
    for place, (extent, frame) in enumerate(
        ((width, _from_frame_to_frame(width, images)), (height, _from_frame_to_frame(height, images)[:, None]))
    ):
        torch.sub(frame, field[:, 1 - place], alpha=2 / max(extent - 1, 1), out=grid[..., place])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def draw_spectral(count: int, generator: torch.Generator, *, strength: float = 4.0, size: int = 3) -> Spectral:
    """Draw filters.

    Args:
        count: how many.
        generator: where the draws come from; they are made on its device.
        strength: the largest s; each filter's is uniform in [0, strength].
        size: of the kernel, odd.

    Returns:
        The filters; float32.

    Raises:
        ValueError: if the strength is negative or the size is not odd.
    """
    if not 0 <= strength < math.inf or size < 1 or size % 2 == 0:
        raise ValueError(f"expected a strength of at least 0 and an odd size, got {strength} and {size}")
    drawn = strength * torch.rand(count, generator=generator, device=generator.device)
    kernel = drawn[:, None, None] * torch.randn(count, size, size, generator=generator, device=generator.device)
    kernel[:, size // 2, size // 2] += 1
    return Spectral(kernel, drawn)


def draw_spatial(
    count: int,
    shape: tuple[int, int],
    generator: torch.Generator,
    *,
    cutoff: int = 100,
    strength: float = 1.0,
    invertible: bool = True,
) -> Spatial:
    """Draw displacements.

    T is uniform between T1 = 1 / (pi n² ln q), half a pixel, and T2 = max(T1, 4 / (pi³ q² ln q)), n / (pi q) pixels, n
    being the smaller side. The distribution of q ends at n / 2: shorter waves than two pixels cannot be seen.

    Args:
        count: how many.
        shape: (h, w) of the images.
        generator: where the draws come from; they are made on its device.
        cutoff: the largest q; each displacement's is uniform in 2 .. min(cutoff, n // 2).
        strength: scales T; 0 leaves images as they are.
        invertible: shrink what would fold.

    Returns:
        The displacements; float32.

    Raises:
        ValueError: if the cut-off is below 2, the strength is negative, or the images have no two pixels a side.
    """
    side, device = min(shape), generator.device
    if cutoff < 2 or not 0 <= strength < math.inf or side < 2:
        raise ValueError(
            f"expected a cut-off of at least 2, a strength of at least 0 and images of at least 2 x 2 pixels, got "
            f"{cutoff}, {strength} and {shape[0]} x {shape[1]}"
        )
    waves = max(2, min(cutoff, side // 2))
    q = torch.randint(2, waves + 1, (count,), generator=generator, device=device)
    least = 1 / (math.pi * side**2 * q.log())
    most = (4 / (math.pi**3 * q**2 * q.log())).maximum(least)
    variance = strength * torch.lerp(least, most, torch.rand(count, generator=generator, device=device))
    squares = _squares(waves, device)
    inside = squares <= q[:, None, None] ** 2
    spread = (side**2 * variance[:, None, None] / squares).sqrt_().mul_(inside)
    coefficients = spread[:, None] * torch.randn(count, 2, waves, waves, generator=generator, device=device)
    down, across = (_standing(waves, extent, device) for extent in shape)
    field = down.T @ (coefficients @ across)
    shrunk = torch.ones(count, device=device)
    if invertible:
        shrunk = (_OF_FOLDING / _compression(field)).clamp(max=1)
        field.mul_(shrunk.view(-1, 1, 1, 1))
    return Spatial(field, q, variance, shrunk)


def draw_colour(
    count: int, channels: int, generator: torch.Generator, *, cutoff: int = 100, strength: float = 0.01
) -> Colour:
    """Draw colour curves.

    Args:
        count: how many images.
        channels: of an image; each has a curve of its own.
        generator: where the draws come from; they are made on its device.
        cutoff: the largest q; each image's is uniform in 1 .. cutoff.
        strength: the largest T; each image's is uniform in [0, strength].

    Returns:
        The curves; float32.

    Raises:
        ValueError: if the cut-off is below 1 or the strength is negative.
    """
    if cutoff < 1 or not 0 <= strength < math.inf:
        raise ValueError(f"expected a cut-off of at least 1 and a strength of at least 0, got {cutoff} and {strength}")
    device = generator.device
    q = torch.randint(1, cutoff + 1, (count,), generator=generator, device=device)
    variance = strength * torch.rand(count, generator=generator, device=device)
    inside = torch.arange(1, cutoff + 1, device=device) <= q[:, None]
    spread = variance.sqrt()[:, None] * inside
    coefficients = spread[:, None] * torch.randn(count, channels, cutoff, generator=generator, device=device)
    return Colour(coefficients, q, variance)


def _of(drawn: Tensor, rows: Rows) -> Tensor:
    return drawn if rows is None else drawn[rows]


def _from_frame_to_frame(extent: int, like: Tensor) -> Tensor:
    """-1 to 1 in the middle of the pixels; of a single one, 0."""
    ends = (-1.0, 1.0) if extent > 1 else (0.0, 0.0)
    return torch.linspace(*ends, extent, dtype=like.dtype, device=like.device)


def _sines(count: int, values: Tensor) -> Tensor:
    """sin(pi k x), exactly 0 at both ends: (count, values) for k = 1 .. count."""
    k = torch.arange(1, count + 1, dtype=values.dtype, device=values.device)
    waves = torch.sin(math.pi * k[:, None] * values)
    return waves.where((values > 0) & (values < 1), 0.0)


@lru_cache(maxsize=8)
def _squares(count: int, device: torch.device) -> Tensor:
    """i² + j² for i and j = 1 .. count; not to be changed in place."""
    number = torch.arange(1, count + 1, device=device)
    return number[:, None] ** 2 + number**2


@lru_cache(maxsize=8)
def _standing(count: int, extent: int, device: torch.device) -> Tensor:
    """`count` sines from frame to frame of `extent` pixels; do not change them in place."""
    return _sines(count, torch.linspace(0, 1, extent, device=device))


@lru_cache(maxsize=8)
def _table(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The sines at the entries of a colour curve's table, and 0 behind its end; not to be changed in place."""
    return F.pad(_sines(count, torch.linspace(0, 1, _ENTRIES + 1, dtype=dtype, device=device)), (0, 1))


def _compression(field: Tensor) -> Tensor:
    """The largest real part of an eigenvalue of grad tau over all triangles, at least 0: (n,).

    A cell of four pixels is cut in two; the gradient of the linear map on each half is that of the two edges of the
    cell that meet in it.
    """
    down, across = field.diff(dim=2).unbind(1), field.diff(dim=3).unbind(1)  # rows and columns of tau, along the edges
    largest = field.new_zeros(len(field))
    for side in (slice(None, -1), slice(1, None)):
        a, b, c, d = down[0][..., side], down[1][..., side], across[0][:, side], across[1][:, side]
        root = a - d
        root.square_().addcmul_(b, c, value=4).clamp_(min=_TINY).sqrt_()  # as good as 0 where eigenvalues are complex
        largest = largest.maximum(root.add_(a).add_(d).flatten(1).amax(1))
    return largest.mul_(0.5)
