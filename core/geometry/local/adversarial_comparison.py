"""Local properties at images, at adversarial points near them, and at noise of the same length, compared in pairs.

For each image x the adversarial point is the end of projected gradient descent in an ℓ2 ball around x, and the noise
point lies at the same distance from x in a random direction. The three samples are paired, so they are compared image
by image; an unpaired test would be wrong. Images whose class the attack does not change have no adversarial point.

Reference: Aghdam, Heravi, Puig, VISAPP 2017, whose third claim is about the Lipschitz constant at adversarial examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.boundary.attacks import projected_gradient
from core.geometry.local.direction_distributions import Sampler
from core.geometry.local.jacobian import Representation
from core.geometry.local.local import local_geometry
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

KINDS = ("clean", "adversarial", "noise")
_NUMBERS = (
    *("lipschitz_point", "lipschitz_pairs", "lipschitz_ball", "lipschitz_margin", "margin"),
    *("mantel_raw", "mantel_linear", "mantel_jacobian"),
)
_SHARED = ("radius", "product", "representation", "sampler", "num_classes", "fingerprint")


@dataclass(frozen=True, kw_only=True, eq=False)
class AdversarialComparison(ClassifierResult):
    """Local properties at n images and at two points near each; the axis `kind` follows KINDS."""

    lipschitz_point: np.ndarray = quantity("output / ℓ2 pixel", "image kind", words="slope at the image")
    lipschitz_pairs: np.ndarray = quantity("output / ℓ2 pixel", "image kind")
    lipschitz_ball: np.ndarray = quantity("output / ℓ2 pixel", "image kind", words="slope in the ball")
    lipschitz_margin: np.ndarray = quantity("output / ℓ2 pixel", "image kind")
    margin: np.ndarray = quantity("output", "image kind", words="margin")
    mantel_raw: np.ndarray = quantity("", "image kind", words="Mantel score")
    mantel_linear: np.ndarray = quantity("", "image kind")
    mantel_jacobian: np.ndarray = quantity("", "image kind")
    variation: np.ndarray = quantity("", "image kind", words="variation of the gain")
    asymmetry: np.ndarray = quantity("", "image kind", words="asymmetry")
    found: np.ndarray = quantity(
        "", "image", words="images that the attack changes"
    )  # whether the attack changed the class
    row: np.ndarray = quantity("", "image")  # of the image in its set
    strength: float = quantity("ℓ2 pixel")  # of the ball of the attack
    radius: float = quantity("ℓ2 pixel")
    product: float = quantity("logit / ℓ2 pixel")
    representation: str = quantity("")
    sampler: str = quantity("")

    def difference(self, name: str, kind: int) -> np.ndarray:
        """The difference of a number between a kind and the image itself, over images that have both.

        Args:
            name: name of a field.
            kind: index in KINDS.
        """
        values = getattr(self, name)
        difference = values[:, kind] - values[:, 0]
        known: np.ndarray = difference[np.isfinite(difference)]
        return known

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The numbers of each kind of images."""
        yield from self.quoted("found")
        names = "lipschitz_point", "lipschitz_ball", "margin", "mantel_raw", "variation", "asymmetry"
        yield from self.quoted(*names, columns=KINDS)


@counted
def adversarial_comparison(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    radius: float,
    *,
    strength: float = 1.0,
    steps: int = 40,
    sampler: Sampler = "sphere",
    count: int = 32,
    representation: Representation = "logits",
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> AdversarialComparison:
    """Measure local properties around images, adversarial points and noise.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        radius: length of the perturbations around each point, in ℓ2 pixel.
        strength: radius of the attack's ball, in ℓ2 pixel.
        steps: number of steps of the attack.
        sampler: distribution of the directions around each point.
        count: number of directions.
        representation: logits, or their softmax.
        seed: seed of the attack's start, the noise and the directions.
        on_progress: called with the fraction done.

    Returns:
        The numbers, NaN at adversarial points that were not found.

    Raises:
        ValueError: if there is no image, or an option is not one of those above.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    if not 0 < strength < float("inf") or steps < 1:
        raise ValueError(f"expected an attack of positive strength and one step or more, got {strength} and {steps}")
    pixels = classifier.accept(images)
    on_progress(0.0)
    attack = projected_gradient(classifier, pixels, pixels.new_full((len(pixels),), strength), steps=steps, seed=seed)
    way = attack.images.to(pixels) - pixels
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float64).to(pixels)
    long = (way.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    points = torch.cat([pixels, pixels + way, pixels + long * noise])
    around = local_geometry(
        classifier,
        points,
        radius,
        sampler=sampler,
        count=count,
        rays=0,
        representation=representation,
        permutations=0,
        seed=seed,
        keep=0,
        on_progress=part_of(on_progress, 0.2, 1.0),
    )
    changed = attack.changed.cpu().numpy()
    columns: dict[str, Any] = {name: _paired(getattr(around, name), changed) for name in _NUMBERS}
    return AdversarialComparison(
        **columns,
        variation=_paired(around.variation[:, 0], changed),
        asymmetry=_paired(around.asymmetry.mean(1), changed),
        found=changed,
        row=np.arange(len(pixels), dtype=np.int32),
        strength=float(strength),
        **{name: getattr(around, name) for name in _SHARED},
        **spent(),
    )


def _paired(values: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """(n, kinds), unknown at adversarial points that were not found."""
    table = values.reshape(len(KINDS), -1).T.copy()
    table[~changed, KINDS.index("adversarial")] = np.nan
    return table
