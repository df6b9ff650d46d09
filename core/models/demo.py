"""The demo models: their names, and the recipe of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from core.models.demo_architectures import strided, transformer
from core.sources.models import ASSETS, Source

# Each takes the shape (c, h, w) of an image, the number of classes and the recipe's arguments.
ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"strided": strided, "transformer": transformer}


@dataclass(frozen=True, kw_only=True)
class DemoSpec:
    """The training of a demo model: stochastic gradient descent, Nesterov momentum 0.9, a one-cycle rate."""

    data: str  # in DATA
    architecture: str  # in ARCHITECTURES
    arguments: Mapping[str, Any]
    mode: str = "standard"  # in MODES
    mode_arguments: Mapping[str, Any] = field(default_factory=dict)
    epochs: int
    batch: int = 64
    peak_rate: float = 0.1
    warm_up: float = 0.25  # share of the steps in which the rate rises
    weight_decay: float = 5e-4
    clip: float = 0.5  # largest norm of a gradient
    seed: int = 0


_PHOTOS = DemoSpec(
    data="photos", architecture="strided", arguments={"widths": [32, 64, 96, 96], "activation": "silu"}, epochs=12
)

_DIGITS = DemoSpec(
    data="digits", architecture="strided", arguments={"widths": [16, 32, 64], "activation": "silu"}, epochs=15
)

# Only weight decay reduces a network's initial sensitivity to frequencies that are not in its data.
_LONG = replace(_DIGITS, epochs=40, weight_decay=5e-3)

# Radii: below half the smallest (photos, 2.2) and the median (digits, 5.6) distance between training images of
# different classes, so that the balls of two classes rarely overlap.
RECIPES: Mapping[str, DemoSpec] = {
    "photos/standard": _PHOTOS,
    "photos/adversarial": replace(
        _PHOTOS, mode="adversarial", mode_arguments={"radius": 1.0, "steps": 5}, epochs=20, batch=128
    ),
    # Colours and textures distinguish these nine pictures: PRIME at full strength costs 6 points of accuracy.
    "photos/prime": replace(
        _PHOTOS, mode="prime", mode_arguments={"share": 0.5, "spectral": 2.0, "colour": 0.003}, epochs=24
    ),
    "photos/relu": replace(_PHOTOS, arguments={"widths": [32, 64, 96, 96], "activation": "relu"}),
    "photos/vit": replace(
        _PHOTOS,
        architecture="transformer",
        arguments={"patch": 4, "width": 64, "depth": 4, "heads": 4},
    ),
    # A rate of 0 keeps the initial weights; BatchNorm sees the data, without which all images look alike to it.
    "photos/untrained": replace(_PHOTOS, epochs=1, peak_rate=0.0),
    "digits/standard": _DIGITS,
    "digits/adversarial": replace(_DIGITS, mode="adversarial", mode_arguments={"radius": 2.0, "steps": 5}, epochs=20),
    "digits/prime": replace(_DIGITS, mode="prime", epochs=30),
    "digits/lowpass": replace(_LONG, data="digits-lowpass"),
    "digits/flipped": replace(_LONG, data="digits-flipped"),
    "digits/control": _LONG,
}

_THRICE = ("standard", "adversarial", "prime")  # shipped with three seeds: a single network proves nothing

SHIPPED = tuple(  # in `assets/models`; the first is the default
    f"{name}-{seed}" if seed else name for name in RECIPES for seed in range(3 if name.endswith(_THRICE) else 1)
)


def demo_spec(name: str) -> DemoSpec:
    """The recipe of a demo model; a number at its end is the seed: `photos/standard-1`.

    Raises:
        ValueError: if there is no such recipe.
    """
    family, _, seed = name.rpartition("-")
    if name in RECIPES:
        return RECIPES[name]
    if family in RECIPES and seed.isdecimal():
        return replace(RECIPES[family], seed=int(seed))
    raise ValueError(f"expected one of {', '.join(RECIPES)} (-1, -2, ... for another seed), got {name}; choose one")


@cache  # called in every run of a page; the models come with the checkout
def demo_models() -> tuple[str, ...]:
    """The sources of the installed demo models; the first is the default."""
    return tuple(f"demo:{name}" for name in SHIPPED if _demo_path(name).is_file())


def demo_images(model: str) -> str:
    """The source of a demo model's image set; for an unknown model, the set of its family."""
    name = Source.parse(model).trained.text().removeprefix("demo:")
    return f"demo:{demo_spec(name).data if name in SHIPPED else name.split('/')[0]}"


def _demo_path(name: str) -> Path:
    return ASSETS / "models" / f"{name}.safetensors"
