"""What is measured on a demo model for the claims about local properties, and how it becomes evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.report import Evidence

if TYPE_CHECKING:
    from core.geometry.local.adversarial_comparison import LocalKinds
    from core.geometry.local.by_layer import LayerGeometry
    from core.geometry.local.by_radius import RadiusSweep
    from core.geometry.local.local import LocalGeometry

RADIUS = {"photos": 0.5, "digits": 1.0}  # ℓ2 pixel: half of what adversarial training was given
STRENGTH = {"photos": 1.0, "digits": 2.0}  # of the attack
_DIRECTIONS = 64
_DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Measured:
    """What was measured on one model, of the same images."""

    name: str  # such as photos/standard-1
    sphere: LocalGeometry
    attack: LocalGeometry
    layers: LayerGeometry
    sweep: RadiusSweep
    kinds: LocalKinds

    @property
    def trained(self) -> bool:
        """Whether it has learned anything."""
        return "untrained" not in self.name


def measure(source: str, device: str | None, count: int, seed: int) -> Measured:
    """Measure one model.

    Args:
        source: such as demo:photos/standard.
        device: where it runs; the best one here when None.
        count: images, drawn evenly from the classes.
        seed: of what is random.
    """
    from core.geometry.common.sampling import stratified
    from core.geometry.local.adversarial_comparison import local_kinds
    from core.geometry.local.by_layer import layer_geometry
    from core.geometry.local.by_radius import radius_sweep
    from core.geometry.local.local import local_geometry
    from core.images.load import load_images
    from core.models.load import load_classifier

    name = source.removeprefix("demo:")
    data = name.split("/")[0]
    classifier, images = load_classifier(source, device), load_images(f"demo:{data}")
    pixels = images[stratified(images.labels.numpy(), count, seed)].pixels
    radius = RADIUS[data]
    sphere = local_geometry(classifier, pixels, radius, count=_DIRECTIONS, rays=0, permutations=0, keep=0, seed=seed)
    attack = local_geometry(
        classifier,
        pixels,
        radius,
        sampler="attack",
        count=16,
        rays=0,
        permutations=0,
        samples=0,
        ascents=0,
        keep=0,
        seed=seed,
    )
    return Measured(
        name,
        sphere,
        attack,
        layer_geometry(classifier, pixels[: max(4, count // 3)], radius, seed=seed),
        radius_sweep(classifier, pixels, (radius / 50, radius / 10, radius), seed=seed),
        local_kinds(classifier, pixels, radius, strength=STRENGTH[data], seed=seed),
    )


def evidence_of(
    one: Measured,
    quantity: str,
    values: np.ndarray,
    control: float | None,
    control_name: str,
    speaks: bool | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Evidence:
    """A median over images with its interval; it speaks for the claim where all of that is beyond a number."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Evidence(
            model=one.name, quantity=quantity, value=float("nan"), control=control, control_name=control_name
        )
    draws = np.random.default_rng(0).integers(0, len(known), (_DRAWS, len(known)))
    low, high = np.quantile(np.median(known[draws], 1), [0.025, 0.975])
    if above is not None:
        speaks = bool(low > above)
    if below is not None:
        speaks = bool(high < below)
    return Evidence(
        model=one.name,
        quantity=quantity,
        value=float(np.median(known)),
        interval=(float(low), float(high)),
        control=control,
        control_name=control_name,
        holds=speaks if one.trained else None,
    )


def middle(values: np.ndarray) -> float:
    """The median of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
