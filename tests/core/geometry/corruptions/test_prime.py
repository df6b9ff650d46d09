"""PRIME's mixture: what is drawn, that it is applied as drawn, and that it can be made again."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.errors import ImageError
from core.geometry.corruptions.prime import PRIMITIVES, Prime, draw_prime, prime
from core.images.load import load_images
from tests import truths

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]


def drawn_for(count: int, shape: tuple[int, int, int], seed: int = 0) -> Prime:
    return draw_prime(count, shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_every_chain_applies_its_primitives_in_order(
    shape: tuple[int, int, int], dtype: torch.dtype, count: int
) -> None:
    images, drawn = truths.images(count, shape, dtype=dtype), drawn_for(count, shape)
    primitives = (drawn.spectral, drawn.spatial, drawn.colour)
    made = drawn(images)
    for row in range(count):
        mixed = (1 - float(drawn.mix[row])) * images[row]
        for chain in range(drawn.kind.shape[1]):
            state = images[row : row + 1]
            for kind, place in zip(drawn.kind[row, chain].tolist(), drawn.place[row, chain].tolist(), strict=True):
                if kind >= 0:
                    state = primitives[kind](state, torch.tensor([place]))
            mixed = mixed + float(drawn.mix[row] * drawn.weights[row, chain]) * state[0]
        # colour curves are steep: they turn rounding of 1e-7 into 1e-4
        torch.testing.assert_close(made[row], mixed.clamp(0, 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(drawn(images), made, rtol=0, atol=0)


def test_without_mixing_the_images_come_back() -> None:
    images, drawn = truths.images(4, (3, 16, 16)), drawn_for(4, (3, 16, 16))
    unmixed = dataclasses.replace(drawn, mix=torch.zeros(4))
    torch.testing.assert_close(unmixed(images), images, rtol=0, atol=0)
    assert float((drawn(images) - images).abs().mean()) > 0.01


def test_everything_is_drawn_from_its_distribution() -> None:
    drawn = drawn_for(3000, (1, 4, 4))
    depths = (drawn.kind >= 0).sum(2)
    assert stats.chisquare(torch.bincount(depths.flatten(), minlength=4)[1:].numpy()).pvalue > 1e-3
    used = drawn.kind[drawn.kind >= 0]
    assert stats.chisquare(torch.bincount(used).numpy()).pvalue > 1e-3
    assert bool((drawn.kind[:, :, :-1] >= drawn.kind[:, :, 1:].clamp(max=0)).all())  # a chain that ended stays so
    for kind, primitive in enumerate((drawn.spectral, drawn.spatial, drawn.colour)):
        assert sorted(drawn.place[drawn.kind == kind].tolist()) == list(range(len(primitive)))
    torch.testing.assert_close(drawn.weights.sum(1), torch.ones(3000))
    # Dirichlet(1, 1, 1): each weight alone is Beta(1, 2)
    assert stats.kstest(drawn.weights[:, 0].numpy(), stats.beta(1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(drawn.mix.numpy(), "uniform").pvalue > 1e-3


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_mixtures_stay_in_the_range_and_each_image_has_its_own(seed: int) -> None:
    images = truths.images(1, (3, 8, 8), seed).float().expand(3, -1, -1, -1)
    made = drawn_for(3, (3, 8, 8), seed)(images)
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[1], made[2])


def test_the_seed_decides_and_nothing_else() -> None:
    images = load_images("demo:photos").pixels[:64]
    state = torch.get_rng_state()
    first, again, other = (prime(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert float((first - other).abs().mean()) > 0.01
    change = (first - images).flatten(1).norm(dim=1)
    assert float(change.min()) > 0
    assert 0.5 < float(change.median()) < 10
    assert len(PRIMITIVES) == 3


def test_wrong_calls_are_told_what_is_wrong() -> None:
    drawn = drawn_for(2, (3, 8, 8))
    with pytest.raises(ImageError, match="2 x 3 x 8 x 8"):
        drawn(torch.zeros(3, 3, 8, 8))
    for value in (1.5, -0.1, math.nan):
        with pytest.raises(ImageError, match=r"\[0, 1\]"):
            drawn(torch.full((2, 3, 8, 8), value))
    for options in ({"width": 0}, {"depth": 0}, {"cutoff": 1}, {"colour": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            draw_prime(2, (3, 8, 8), torch.Generator(), **options)
    with pytest.raises(ValueError, match="at least one image"):
        draw_prime(0, (3, 8, 8), torch.Generator())
