"""PRIME on one image: draws of each of its three primitives and of their mixture, with predictions.

Draw number j uses the seed s + j for each primitive, so that another strength shows the same filter, displacement or
curve, larger: the drawn object and its effect can be compared. The mixture is that of
`core.geometry.corruptions.prime`, with the share of the chains in the mixture fixed instead of drawn.

Reference: Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME: a few primitives can boost robustness to
common corruptions, ECCV 2022 (arXiv 2112.13547).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.corruptions.prime import PRIMITIVES, draw_prime
from core.geometry.corruptions.primitives import Colour, Spatial, Spectral, draw_colour, draw_spatial, draw_spectral
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, per_sample, quantity
from core.runtime.cost import counted, spent

Primitive = TypeVar("Primitive", Spectral, Spatial, Colour)

ROWS = (*PRIMITIVES, "mixture")
_RESPONSE = 33  # frequencies per side of a kernel's response: odd, so that the constant one is in the middle
_LEVELS = 65  # of a colour curve: every 1/64


@dataclass(frozen=True, kw_only=True, eq=False)
class PrimeDraws(ClassifierResult):
    """One image after d draws of each primitive and of the mixture."""

    images: np.ndarray = quantity("pixel", "primitive draw c h w")  # in the order of ROWS
    displacement: np.ndarray = quantity("ℓ2 pixel", "primitive draw")  # of the image from the one before
    predicted: np.ndarray = quantity("", "primitive draw")  # -1 where a logit is not finite
    confidence: np.ndarray = quantity("probability", "primitive draw")  # of the class predicted
    kernel: np.ndarray = quantity("", "draw row column")
    response: np.ndarray = quantity("", "draw down across")  # |Fourier transform|; the constant in the middle
    field: np.ndarray = quantity("pixel", "draw direction h w")  # displacement, rows then columns
    shrunk: np.ndarray = quantity("", "draw")  # what the displacement was multiplied with to fold nothing
    level: np.ndarray = quantity("pixel", "level")
    curve: np.ndarray = quantity("pixel", "draw channel level")
    spectral_strength: np.ndarray = quantity("standard deviation", "draw")
    spatial_cutoff: np.ndarray = quantity("half waves", "draw")
    colour_cutoff: np.ndarray = quantity("half waves", "draw")
    chain: np.ndarray = quantity(
        "", "draw width depth"
    )  # primitives one after the other, in the order of ROWS; -1: end
    weight: np.ndarray = quantity("", "draw width")
    mix: float = quantity("")
    clean_class: int = quantity("")  # what the classifier says of the image itself
    clean_confidence: float = quantity("probability")
    seed: int = quantity("")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The effect of each primitive."""
        yield Number(name=f"probability of {context.class_names[self.clean_class]}", value=self.clean_confidence)
        for index, label in enumerate(ROWS):
            yield Number(name=f"draws that keep the class, {label}", value=self.predicted[index] == self.clean_class)
            yield Number(
                name=f"length of the change, {label}", value=per_sample(self.displacement[index]), unit="ℓ2 pixel"
            )


@counted
def prime_draws(
    classifier: Classifier,
    image: Float[Tensor, "c h w"],
    *,
    draws: int = 3,
    spectral: float = 4.0,
    spatial: float = 1.0,
    colour: float = 0.01,
    cutoff: int = 100,
    mix: float = 0.5,
    seed: int = 0,
) -> PrimeDraws:
    """Draw PRIME's primitives and mixtures for one image.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        image: values in [0, 1].
        draws: number of draws of each primitive.
        spectral: the largest standard deviation s of a filter's coefficients.
        spatial: scales the variance T of displacements.
        colour: the largest variance T of a colour curve's coefficients.
        cutoff: the largest cut-off q of displacements and colour curves.
        mix: m, the share of the chains in the mixture.
        seed: seed of the first draw.

    Returns:
        Images, the draws, and predictions.

    Raises:
        ValueError: if there is no draw, the mix is not in [0, 1], or a strength or cut-off is out of range.
        ImageError: if the image does not fit the classifier or is not in [0, 1].
    """
    if draws < 1 or not 0 <= mix <= 1:
        raise ValueError(f"expected at least one draw and a mix from 0 to 1, got {draws} and {mix}")
    pixels = image.detach().to("cpu", torch.float32)[None]
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("expected an image in [0, 1], got another; remove the normalisation")
    channels, height, width = classifier.input_shape
    classifier.accept(pixels)

    def generator(draw: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed + draw)

    each = range(draws)
    filters = _joined([draw_spectral(1, generator(draw), strength=spectral) for draw in each])
    displacements = _joined(
        [draw_spatial(1, (height, width), generator(draw), strength=spatial, cutoff=cutoff) for draw in each]
    )
    curves = _joined([draw_colour(1, channels, generator(draw), strength=colour, cutoff=cutoff) for draw in each])
    drawn = [
        draw_prime(
            1, classifier.input_shape, generator(draw), spectral=spectral, spatial=spatial, colour=colour, cutoff=cutoff
        )
        for draw in each
    ]
    mixtures = [replace(one, mix=torch.tensor([mix])) for one in drawn]
    copies = pixels.repeat(draws, 1, 1, 1)
    made = torch.stack(
        [filters(copies), displacements(copies), curves(copies), torch.cat([one(pixels) for one in mixtures])]
    )
    predicted = classifier.predict(torch.cat([pixels, made.flatten(0, 1)]))
    levels = torch.linspace(0, 1, _LEVELS)
    return PrimeDraws(
        images=made.numpy(),
        displacement=(made - pixels).flatten(2).norm(dim=2).numpy(),
        predicted=predicted.label[1:].reshape(len(ROWS), draws),
        confidence=predicted.confidence[1:].reshape(len(ROWS), draws),
        kernel=filters.kernel.numpy(),
        response=filters.response(_RESPONSE).numpy(),
        field=displacements.field.numpy(),
        shrunk=displacements.shrunk.numpy(),
        level=levels.numpy(),
        curve=curves.curve(levels).numpy(),
        spectral_strength=filters.strength.numpy(),
        spatial_cutoff=displacements.cutoff.numpy(),
        colour_cutoff=curves.cutoff.numpy(),
        chain=torch.cat([one.kind for one in mixtures]).numpy(),
        weight=torch.cat([one.weights for one in mixtures]).numpy(),
        mix=float(mix),
        clean_class=int(predicted.label[0]),
        clean_confidence=float(predicted.confidence[0]),
        seed=seed,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def _joined(drawn: list[Primitive]) -> Primitive:
    """Draws of one primitive as one."""
    return type(drawn[0])(*(torch.cat([getattr(one, part.name) for one in drawn]) for part in fields(drawn[0])))
