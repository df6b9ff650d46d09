"""What is claimed about local properties of convolutional networks, tested on the demo models.

Every number is compared with a map for which the claim means nothing: a random linear map to as many outputs, the
model's own linearisation at the image, or the untrained network. Intervals come from the bootstrap over images.
Directions are uniform on the sphere unless the evidence says otherwise; lengths are ℓ2 over pixels in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.geometry.common.sampling import stratified
from core.geometry.local.adversarial_comparison import adversarial_comparison
from core.geometry.local.by_layer import layer_geometry
from core.geometry.local.by_radius import radius_sweep
from core.geometry.local.local import local_geometry
from core.reproduce.demo import DemoModel, Named, Study
from core.reproduce.estimates import bootstrap, finite_median
from core.reproduce.report import Claim, Evidence, claim

if TYPE_CHECKING:
    from core.geometry.local.adversarial_comparison import AdversarialComparison
    from core.geometry.local.by_layer import LayerGeometry
    from core.geometry.local.by_radius import RadiusSweep
    from core.geometry.local.local import LocalGeometry

PAPER = (
    "Aghdam, Heravi, Puig, Explaining Adversarial Examples by Local Properties of Convolutional Neural Networks,"
    " VISAPP 2017"
)
COUNT = 16  # images of each model, drawn evenly from the classes
RADIUS = {"photos": 0.5, "digits": 1.0}  # ℓ2 pixel: half of what adversarial training was given
STRENGTH = {"photos": 1.0, "digits": 2.0}  # of the attack
_DIRECTIONS = 64
_MUCH = 0.05  # of asymmetry, residual or score: the least that counts as an effect
_RANDOM, _LINEAR = "a random linear map to as many outputs", "the linearisation, and every linear map"


@dataclass(frozen=True)
class Measured(Named):
    """What was measured on one model, all on the same images."""

    sphere: LocalGeometry
    attack: LocalGeometry
    layers: LayerGeometry
    sweep: RadiusSweep
    kinds: AdversarialComparison


def claims(study: Study) -> Iterator[Claim]:
    """Test the claims, once all models are measured."""
    measured = list(study.each(measure))
    for stated in (_isotropy, _symmetry, _topology, _layers, _steepness, _adversarial_steeper, _affine):
        yield stated(measured)


def measure(model: DemoModel, count: int, seed: int) -> Measured:
    """Measure one model on images that are drawn evenly from the classes."""
    classifier, images = model.classifier, model.images
    pixels = images[stratified(images.labels.numpy(), count, seed)].pixels
    radius = RADIUS[model.data]
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
        model.name,
        sphere,
        attack,
        layer_geometry(classifier, pixels[: max(4, count // 3)], radius, seed=seed),
        radius_sweep(classifier, pixels, (radius / 50, radius / 10, radius), seed=seed),
        adversarial_comparison(classifier, pixels, radius, strength=STRENGTH[model.data], seed=seed),
    )


def evidence_of(
    one: Measured,
    quantity: str,
    values: np.ndarray,
    control: float | None,
    control_name: str,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Evidence:
    """A median over images with its interval; it holds if the whole interval is above, or below, a bound."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Evidence(
            model=one.name, quantity=quantity, value=float("nan"), control=control, control_name=control_name
        )
    low, high = bootstrap(len(known), lambda rows: float(np.median(known[rows])))
    holds = None if above is None else low > above
    holds = holds if below is None else high < below
    return Evidence(
        model=one.name,
        quantity=quantity,
        value=float(np.median(known)),
        interval=(low, high),
        control=control,
        control_name=control_name,
        holds=holds if one.trained else None,
    )


@claim(
    "Around images, networks are not isotropic: steps of one length change the output unequally.",
    PAPER,
    "no linear map to few outputs is isotropic; less isotropic than a random one is what the model adds",
)
def _isotropy(one: Measured) -> Iterator[Evidence]:
    gain, linear, plain = one.sphere.ratio.T
    control = finite_median(plain)
    words = "5 % over 95 % quantile of the gain (1: isotropic)"
    yield evidence_of(one, words, gain, control, _RANDOM, below=control)
    yield evidence_of(one, "the same, of the linearisation at the image", linear, control, _RANDOM)
    ratio = one.attack.gain.mean(1) / one.sphere.gain.mean(1)
    yield evidence_of(one, "mean gain along attacks over that on the sphere", ratio, 1.0, "isotropic")


@claim(
    "Around images, networks are not symmetric: a step and its opposite do not do opposite things.",
    PAPER,
    "on the sphere most of it is one bend shared by all directions, which the attack's own does not have; it fades with"
    " the radius",
)
def _symmetry(one: Measured) -> Iterator[Evidence]:
    sphere, attack, sweep = one.sphere, one.attack, one.sweep
    words = f"mean asymmetry at radius {sphere.radius:g}"
    yield evidence_of(one, words, sphere.asymmetry.mean(1), 0.0, _LINEAR, above=_MUCH)
    yield evidence_of(one, f"mean asymmetry at radius {sweep.radius[0]:g}", sweep.asymmetry[:, 0], 0.0, _LINEAR)
    words = f"mean asymmetry along attacks at radius {attack.radius:g}"
    yield evidence_of(one, words, attack.asymmetry.mean(1), 0.0, _LINEAR)


@claim(
    "Distances between perturbed inputs hardly correlate with those between their outputs, because the network changes"
    " the topology non-linearly.",
    PAPER,
    "the verdict is about the reason: it holds where the score is lower, by 0.05, than that of the model's own"
    " linearisation, which bends nothing",
)
def _topology(one: Measured) -> Iterator[Evidence]:
    score, linear = one.sphere.mantel_raw, one.sphere.mantel_linear
    words = "Mantel score of distances before and after"
    yield evidence_of(one, words, score, finite_median(linear), "its linearisation")
    words, control = "score of the linearisation minus that of the model", finite_median(one.sphere.mantel_random)
    yield evidence_of(one, words, linear - score, control, "score of a random linear map", above=_MUCH)
    words = "1 - score against the linearised distances"
    yield evidence_of(one, words, 1 - one.sphere.mantel_jacobian, 0.0, "every linear map")


@claim(
    "The chain of layers makes the score fall on its way to the output.",
    PAPER,
    "it falls as much in the linearised chain: what falls is the number of directions that matter",
)
def _layers(one: Measured) -> Iterator[Evidence]:
    layers = one.layers
    fall, straight = (score[:, 0] - score[:, -1] for score in (layers.mantel_raw, layers.mantel_linear))
    words, control = f"score at layer {layers.layers[0]} minus that at the logits", finite_median(straight)
    yield evidence_of(one, words, fall, control, "the linearisation of the same layers", above=0.0)
    ratio = layers.effective[:, 0] / layers.effective[:, -1]
    yield evidence_of(one, "directions that matter, first layer over logits", ratio, 1.0, "no loss of directions")


@claim(
    "Locally, the Lipschitz constant is below 1 for most adversarial examples.",
    PAPER,
    "in logits per ℓ2 over pixels in [0, 1]; in other units the same numbers are 255 times smaller, so the verdict is"
    " about a unit",
)
def _steepness(one: Measured) -> Iterator[Evidence]:
    kinds = one.kinds
    point, pairs = kinds.lipschitz_point[:, 1], kinds.lipschitz_pairs[:, 1]
    known = np.isfinite(point)
    if not known.any():
        return
    share = float(np.mean(point[known] < 1))
    yield Evidence(
        model=one.name,
        quantity=f"share of {int(known.sum())} adversarial examples whose Jacobian's norm is below 1",
        value=share,
        control=float(np.mean(pairs[known] < 1)),
        control_name="by sampled pairs, which only bound it from below",
        holds=share > 0.5 if one.trained else None,
    )
    yield Evidence(
        model=one.name,
        quantity="the same for pixels in [0, 255]",
        value=float(np.mean(point[known] < 255)),
        control=float(np.mean(kinds.lipschitz_point[:, 0] < 1)),
        control_name="clean images, pixels in [0, 1]",
    )
    bound = "the product of the layers' norms, a bound from above"
    yield evidence_of(one, "norm of the Jacobian there, logits per ℓ2", point, kinds.product, bound)


@claim(
    "Networks are steeper at adversarial examples than at the images they were made from.",
    "beside that paper: paired comparison of our own",
    "of images whose class the attack changes",
)
def _adversarial_steeper(one: Measured) -> Iterator[Evidence]:
    attacked, noisy = (one.kinds.difference("lipschitz_point", kind) for kind in (1, 2))
    words = "norm of the Jacobian, adversarial minus clean, image by image"
    yield evidence_of(one, words, attacked, finite_median(noisy), "noise as long minus clean", above=0.0)


@claim(
    "Perturbations stay where the network is the chain of affine maps that it is at the image.",
    PAPER,
    "affine is counted as a residual below 5 %",
)
def _affine(one: Measured) -> Iterator[Evidence]:
    sweep = one.sweep
    for column, below in ((0, None), (2, _MUCH)):
        words = f"residual of the linearisation at radius {sweep.radius[column]:g}"
        yield evidence_of(one, words, sweep.residual[:, column], 0.0, "every affine map", below=below)
    if np.isfinite(sweep.changed).any():
        words = f"share of units on another side at radius {sweep.radius[2]:g}"
        yield evidence_of(one, words, sweep.changed[:, 2], 0.0, "one affine piece")
        yield evidence_of(one, "length to the nearest kink on any ray, ℓ2", sweep.first_kink, None, "")
