"""What training does to a batch: an attack that finds what there is to find, and nothing outside ball and box."""

from __future__ import annotations

import pytest
import torch

from core.training import modes


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lengths(way: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(way.flatten(1), dim=1)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_attack_crosses_a_plane_exactly_when_the_ball_reaches_it(count, dtype) -> None:
    """Two classes, one plane: the nearest point of the other class is the distance away, along the normal."""
    normal = torch.randn(3, 8, 8, generator=generator(1), dtype=dtype)
    normal /= normal.norm()
    distance = torch.linspace(0.2, 0.6, count, dtype=dtype)
    pixels = 0.5 + distance.view(-1, 1, 1, 1) * normal
    labels = torch.ones(count, dtype=torch.int64)

    def net(images: torch.Tensor) -> torch.Tensor:
        ahead = ((images - 0.5) * normal).sum((1, 2, 3))
        return torch.stack([-3 * ahead, 3 * ahead], 1)

    for radius, reached in ((0.195, torch.zeros_like(labels, dtype=torch.bool)), (0.4, distance < 0.4)):
        found, fooled = modes.attack(net, pixels, labels, generator(), radius=radius, steps=40)
        assert found.dtype == dtype
        assert torch.equal(fooled, reached)
        assert lengths(found - pixels).max() <= radius * (1 + 1e-5)
        # Each step shrinks what is left beside the normal by 1 + 2.5 / 40, all of them to exp(-2.5) at most.
        assert (-(found - pixels) * normal).sum((1, 2, 3)).min() > 0.97 * radius


def test_the_attack_stays_in_ball_and_box_and_counts_every_step() -> None:
    pixels = torch.rand(50, 1, 6, 6, generator=generator(2)).round()  # every pixel at a wall
    seen: list[torch.Tensor] = []

    def net(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.detach().clone())
        once = torch.zeros(50, 2) + (1.0 if len(seen) == 2 else -1.0) * torch.tensor([-1.0, 1.0])
        return once + 0 * images.sum() + images.mean((1, 2, 3))[:, None] * torch.tensor([0.1, -0.1])

    _, fooled = modes.attack(net, pixels, torch.zeros(50, dtype=torch.int64), generator(), radius=0.5, steps=3)
    assert len(seen) == 4  # three steps, and the place where they end
    assert fooled.all()  # at the second place only: none is forgotten
    for place in seen:
        assert place.min() >= 0
        assert place.max() <= 1
        assert lengths(place - pixels).max() <= 0.5 * (1 + 1e-5)


def test_the_start_is_uniform_in_the_ball() -> None:
    pixels = torch.full((4000, 1, 2, 2), 0.5)

    def net(images: torch.Tensor) -> torch.Tensor:  # flat: nothing leads away from the start
        return torch.zeros(len(images), 2) + 0 * images.sum()

    found, _ = modes.attack(net, pixels, torch.zeros(4000, dtype=torch.int64), generator(), radius=0.4, steps=1)
    shares = (lengths(found - pixels) / 0.4) ** 4  # in four dimensions the volume grows as the fourth power
    assert (shares.sort().values - torch.linspace(0, 1, 4000)).abs().max() < 0.03
    assert (found - pixels).mean((0, 1)).abs().max() < 0.01


def test_modes_draw_from_their_generator_alone() -> None:
    pixels = torch.rand(20, 3, 32, 32, generator=generator(3))
    labels = torch.arange(20) % 2

    def net(images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))[:, :2] * torch.tensor([9.0, -9.0])

    before = torch.random.get_rng_state()
    for name, arguments in (
        ("adversarial", {"radius": 0.5, "steps": 2}),
        ("prime", {"share": 0.7, "colour": 0.005}),
        ("standard", {}),
    ):
        mode = modes.MODES[name]
        once, again, other = (mode(net, pixels, labels, generator(seed), **arguments) for seed in (7, 7, 8))
        assert torch.equal(once, again)
        assert once.shape == pixels.shape
        assert once.min() >= 0
        assert once.max() <= 1
        assert not once.requires_grad
        assert torch.equal(once, other) == (name == "standard")
        assert torch.equal(once, pixels) == (name == "standard")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_prime_mixes_the_share_asked_for() -> None:
    pixels = torch.rand(600, 1, 16, 16, generator=generator(4))
    for share in (0.0, 0.3, 1.0):
        mixed = modes.prime(lambda images: images, pixels, pixels, generator(), share=share)
        changed = (mixed != pixels).flatten(1).any(1).float().mean()
        assert changed == pytest.approx(share, abs=0.07)
