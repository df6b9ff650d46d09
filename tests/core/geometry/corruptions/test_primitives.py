"""PRIME's primitives: what changes nothing, what they are on paper, the distributions they are drawn from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor

from core.geometry.corruptions.primitives import (
    Spatial,
    Spectral,
    _compression,
    displaced,
    draw_colour,
    draw_spatial,
    draw_spectral,
)
from tests import truths

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_without_strength_nothing_changes(shape: tuple[int, int, int], dtype: torch.dtype, count: int) -> None:
    images = truths.images(count, shape, dtype=dtype)
    for drawn in (
        draw_spectral(count, source(), strength=0.0),
        draw_colour(count, shape[0], source(), strength=0.0),
        draw_spatial(count, shape[1:], source(), strength=0.0),
    ):
        assert len(drawn) == count
        close = 32 * torch.finfo(dtype).eps if isinstance(drawn, Spatial) else 0.0  # coordinates up to 32 are rounded
        torch.testing.assert_close(drawn(images), images, rtol=0, atol=close)


@given(st.integers(0, 2**31))
def test_images_stay_in_their_range_and_rows_apart(seed: int) -> None:
    images = truths.images(3, (2, 9, 7), seed).float()
    rows = torch.tensor([2, 0])
    for drawn in (
        draw_spectral(3, source(seed)),
        draw_spatial(3, (9, 7), source(seed)),
        draw_colour(3, 2, source(seed)),
    ):
        made = drawn(images)
        assert made.shape == images.shape
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
        torch.testing.assert_close(drawn(images[rows], rows), made[rows], rtol=0, atol=1e-6)


# -- spectral ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_filter_is_a_convolution(shape: tuple[int, int, int], dtype: torch.dtype, size: int) -> None:
    images, drawn = truths.images(3, shape, dtype=dtype), draw_spectral(3, source(), strength=0.3, size=size)
    made = drawn(images)
    for image, kernel, filtered in zip(images.double(), drawn.kernel.double(), made, strict=True):
        exact = np.stack([ndimage.convolve(channel, kernel.numpy(), mode="nearest") for channel in image.numpy()])
        np.testing.assert_allclose(filtered, exact.clip(0, 1), atol={torch.float32: 1e-6, torch.float64: 1e-12}[dtype])


def test_the_kernel_is_centred_and_its_response_that_of_its_coefficients() -> None:
    images = truths.images(1, (1, 8, 8))
    corner = torch.zeros(1, 3, 3)
    corner[0, 0, 0] = 1
    moved = Spectral(corner, torch.ones(1))
    torch.testing.assert_close(moved(images)[..., :-1, :-1], images[..., 1:, 1:])
    torch.testing.assert_close(moved.response(16), torch.ones(1, 16, 16))
    drawn = draw_spectral(4, source())
    torch.testing.assert_close(drawn.response(9)[:, 4, 4], drawn.kernel.sum((1, 2)).abs())


def test_filters_are_drawn_from_a_normal_distribution_of_their_own_strength() -> None:
    drawn = draw_spectral(4000, source(), strength=4.0)
    assert stats.kstest(drawn.strength.numpy() / 4, "uniform").pvalue > 1e-3
    delta = torch.zeros(3, 3)
    delta[1, 1] = 1
    standard = (drawn.kernel - delta) / drawn.strength.view(-1, 1, 1)
    wide = drawn.strength > 0.1  # below, 1 + w has few digits left
    assert stats.kstest(standard[wide].double().flatten(), "norm").pvalue > 1e-3


# -- spatial ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_whole_pixel_moves_to_the_next(dtype: torch.dtype) -> None:
    images = truths.images(2, (3, 9, 6), dtype=dtype)
    field = torch.zeros(2, 2, 1, 1)
    field[0, 0], field[1, 1] = 2, -1
    moved = displaced(images, field)
    close = {torch.float32: 2e-6, torch.float64: 1e-14}[dtype]
    torch.testing.assert_close(moved[0, :, 2:], images[0, :, :-2], rtol=0, atol=close)
    torch.testing.assert_close(moved[0, :, 0], images[0, :, 0], rtol=0, atol=close)
    torch.testing.assert_close(moved[1, :, :, :-1], images[1, :, :, 1:], rtol=0, atol=close)


@pytest.mark.parametrize(("cutoff", "side"), [(2, 32), (6, 13)])
def test_displacements_have_the_variance_on_paper(cutoff: int, side: int) -> None:
    """n² E[T] sum sin²(pi i u) sin²(pi j v) / (i² + j²) for each cut-off q, T uniform between T1 and T2."""
    drawn = draw_spatial(8000, (side, side), source(), cutoff=cutoff, invertible=False)
    assert set(drawn.cutoff.tolist()) == set(range(2, cutoff + 1))
    u = np.linspace(0, 1, side)[[side // 2, side // 4]]
    for q in range(2, cutoff + 1):
        field = drawn.field[drawn.cutoff == q][:, :, [side // 2, side // 4]][..., [side // 2, side // 4]].double()
        least = 1 / (math.pi * side**2 * math.log(q))
        most = max(least, 4 / (math.pi**3 * q**2 * math.log(q)))
        waves = [(i, j) for i in range(1, q + 1) for j in range(1, q + 1) if i * i + j * j <= q * q]
        sizes = sum(
            np.outer(np.sin(math.pi * i * u) ** 2, np.sin(math.pi * j * u) ** 2) / (i * i + j * j) for i, j in waves
        )
        truth = side**2 * (least + most) / 2 * sizes
        measured = field.square().mean((0, 1)).numpy()
        # the relative error of a mean of squares of N normals of unlike variance: less than sqrt(3 / N)
        np.testing.assert_allclose(measured, truth, rtol=4 * math.sqrt(3 / (2 * len(field))))


def test_the_distribution_of_cutoffs_ends_at_waves_of_two_pixels() -> None:
    drawn = draw_spatial(2000, (12, 20), source())
    assert set(drawn.cutoff.tolist()) == set(range(2, 7))
    frame = torch.ones(12, 20, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert float(drawn.field[:, :, frame].abs().max()) == 0


def smallest_triangle(drawn: Spatial) -> Tensor:
    """The smallest signed area of the images of all triangles under p - tau(p); 1/2 where nothing moves."""
    height, width = drawn.field.shape[2:]
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).double()
    there = place - drawn.field.double()
    a, b, c, d = there[..., :-1, :-1], there[..., 1:, :-1], there[..., :-1, 1:], there[..., 1:, 1:]

    def area(start: Tensor, down: Tensor, across: Tensor) -> Tensor:
        p, q = down - start, across - start
        return (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]) / 2

    return torch.minimum(area(a, b, c), area(d, c, b)).flatten(1).amin(1)


def test_nothing_is_folded() -> None:
    shape = (32, 32)
    raw, drawn = (draw_spatial(1500, shape, source(), invertible=invertible) for invertible in (False, True))
    folded = smallest_triangle(raw) <= 0
    assert 10 < int(folded.sum()) < 200
    assert bool((raw.folding()[folded] > 0.999).all())
    assert float(smallest_triangle(drawn).min()) > 0
    assert float(drawn.folding().max()) <= 0.9 + 1e-5
    torch.testing.assert_close(drawn.field, raw.field * drawn.shrunk.view(-1, 1, 1, 1))
    unchanged = raw.folding() <= 0.9
    assert bool((drawn.shrunk[unchanged] == 1).all())
    assert bool((drawn.shrunk[~unchanged] < 1).all())


# -- colour -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_colours_follow_their_curve(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    images, drawn = truths.images(5, shape, dtype=dtype), draw_colour(5, shape[0], source())
    images[:, :, 0], images[:, :, 1] = 0, 1
    made = drawn(images)
    k = torch.arange(1, drawn.coefficients.shape[2] + 1, dtype=torch.float64)
    added = torch.sin(math.pi * k.view(-1, 1, 1, 1, 1) * images.double())
    exact = images.double() + torch.einsum("nck,knchw->nchw", drawn.coefficients.double(), added)
    # lines between table entries 1 / 1024 apart: an error of at most max |f''| / (8 * 1024²)
    second_derivative = (drawn.coefficients.double().abs() * (math.pi * k) ** 2).sum(2).view(5, -1, 1, 1)
    slack = second_derivative / (8 * 1024**2) + {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
    assert bool(((made.double() - exact.clamp(0, 1)).abs() <= slack).all())
    assert float(made[:, :, 0].abs().max()) == 0
    assert float((made[:, :, 1] - 1).abs().max()) == 0
    values = images[2, 0].flatten()
    torch.testing.assert_close(drawn.curve(values)[2, 0].double(), exact[2, 0].flatten().clamp(0, 1), rtol=0, atol=1e-4)


def test_colour_curves_are_drawn_from_their_distribution() -> None:
    drawn = draw_colour(3000, 2, source(), cutoff=7, strength=0.01)
    assert stats.kstest(drawn.variance.numpy() / 0.01, "uniform").pvalue > 1e-3
    assert set(drawn.cutoff.tolist()) == set(range(1, 8))
    inside = torch.arange(1, 8) <= drawn.cutoff[:, None, None]
    assert float(drawn.coefficients.where(~inside, 0.0).abs().max()) == 0
    standard = drawn.coefficients / drawn.variance.sqrt().view(-1, 1, 1)
    assert stats.kstest(standard[inside.expand(-1, 2, -1)].double(), "norm").pvalue > 1e-3
    first, second = drawn.coefficients[:, 0, 0], drawn.coefficients[:, 1, 0]
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 4.5 / math.sqrt(3000)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    for size, strength in ((2, 1.0), (0, 1.0), (3, -1.0), (3, math.inf)):
        with pytest.raises(ValueError, match="odd size"):
            draw_spectral(1, source(), size=size, strength=strength)
    for cutoff, strength, shape in ((1, 1.0, (8, 8)), (5, -1.0, (8, 8)), (5, 1.0, (1, 8))):
        with pytest.raises(ValueError, match="2 x 2 pixels"):
            draw_spatial(1, shape, source(), cutoff=cutoff, strength=strength)
    for cutoff, strength in ((0, 0.1), (5, -0.1)):
        with pytest.raises(ValueError, match="cut-off of at least 1"):
            draw_colour(1, 3, source(), cutoff=cutoff, strength=strength)


def test_the_first_fold_is_where_the_largest_eigenvalue_says() -> None:
    field = draw_spatial(5, (9, 12), torch.Generator().manual_seed(0), invertible=False).field
    down, across = field.double().diff(dim=2).unbind(1), field.double().diff(dim=3).unbind(1)
    largest = torch.zeros(5, dtype=torch.float64)
    for side in (slice(None, -1), slice(1, None)):
        rows = torch.stack([part[..., side] for part in down], -1), torch.stack([part[:, side] for part in across], -1)
        gradient = torch.stack(rows, -1)
        largest = largest.maximum(torch.linalg.eigvals(gradient).real.flatten(1).amax(1))
    np.testing.assert_allclose(_compression(field), largest.clamp(min=0), rtol=1e-4)
