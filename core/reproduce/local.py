"""What is claimed about local properties of convolutional networks, tested on the demo models.

Every number stands beside a map that has nothing to do with the claim: a random linear map to as many outputs, the
model's own linearisation at the image, or the untrained network. Intervals are those of the bootstrap over images.
Directions are uniform on the sphere unless the evidence says otherwise; lengths are ℓ2 over pixels in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.measured_local import Measured, evidence_of, measure, middle
from core.reproduce.report import Claim, Evidence, check_demo

if TYPE_CHECKING:
    from core.runtime.progress import OnProgress

PAPER = (
    "Aghdam, Heravi, Puig, Explaining Adversarial Examples by Local Properties of Convolutional Neural Networks,"
    " VISAPP 2017"
)
_MUCH = 0.05  # of asymmetry, residual or score: what is counted as an effect


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 16,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims on demo models.

    Args:
        models: sources such as demo:photos/standard.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: images of each model, drawn evenly from the classes.
        seed: of what is random.

    Yields:
        Each claim, once all models are measured.

    Raises:
        ValueError: if a model is no demo model.
    """
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    measured = []
    for place, source in enumerate(models):
        measured.append(measure(source, device, count, seed))
        told((place + 1) / len(models))
    for claim in (_isotropy, _symmetry, _topology, _layers, _steepness, _adversarial_steeper, _affine):
        yield claim(measured)


def _isotropy(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        ratio = one.sphere.ratio
        plain = middle(ratio[:, 2])
        evidence.append(
            evidence_of(
                one,
                "5 % over 95 % quantile of the gain (1: isotropic)",
                ratio[:, 0],
                plain,
                "a random linear map to as many outputs",
                below=plain,
            )
        )
        evidence.append(
            evidence_of(
                one,
                "the same, of the linearisation at the image",
                ratio[:, 1],
                plain,
                "a random linear map to as many outputs",
            )
        )
        evidence.append(
            evidence_of(
                one,
                "mean gain along attacks over that on the sphere",
                one.attack.gain.mean(1) / one.sphere.gain.mean(1),
                1.0,
                "isotropic",
            )
        )
    return Claim(
        statement="Around images, networks are not isotropic: steps of one length change the output unequally.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="no linear map to few outputs is isotropic; less isotropic than a random one is what the model adds",
    )


def _symmetry(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        evidence.append(
            evidence_of(
                one,
                f"mean asymmetry at radius {one.sphere.radius:g}",
                one.sphere.asymmetry.mean(1),
                0.0,
                "the linearisation, and every linear map",
                above=_MUCH,
            )
        )
        evidence.append(
            evidence_of(
                one,
                f"mean asymmetry at radius {one.sweep.radius[0]:g}",
                one.sweep.asymmetry[:, 0],
                0.0,
                "the linearisation, and every linear map",
            )
        )
        evidence.append(
            evidence_of(
                one,
                f"mean asymmetry along attacks at radius {one.attack.radius:g}",
                one.attack.asymmetry.mean(1),
                0.0,
                "the linearisation, and every linear map",
            )
        )
    return Claim(
        statement="Around images, networks are not symmetric: a step and its opposite do not do opposite things.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="on the sphere most of it is one bend shared by all directions, which the attack's own does not have; it"
        " fades with the radius",
    )


def _topology(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        sphere = one.sphere
        linear = middle(sphere.mantel_linear)
        gap = sphere.mantel_linear - sphere.mantel_raw
        evidence.append(
            evidence_of(
                one, "Mantel score of distances before and after", sphere.mantel_raw, linear, "its linearisation"
            )
        )
        evidence.append(
            evidence_of(
                one,
                "score of the linearisation minus that of the model",
                gap,
                middle(sphere.mantel_random),
                "score of a random linear map",
                above=_MUCH,
            )
        )
        evidence.append(
            evidence_of(
                one,
                "1 - score against the linearised distances",
                1 - sphere.mantel_jacobian,
                0.0,
                "every linear map",
            )
        )
    return Claim(
        statement="Distances between perturbed inputs hardly correlate with those between their outputs, because the"
        " network changes the topology non-linearly.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="the verdict is about the reason: it holds where the score is lower, by 0.05, than that of the model's own"
        " linearisation, which bends nothing",
    )


def _layers(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        layers = one.layers
        fall = layers.mantel_raw[:, 0] - layers.mantel_raw[:, -1]
        straight = layers.mantel_linear[:, 0] - layers.mantel_linear[:, -1]
        evidence.append(
            evidence_of(
                one,
                f"score at layer {layers.layers[0]} minus that at the logits",
                fall,
                middle(straight),
                "the linearisation of the same layers",
                above=0.0,
            )
        )
        evidence.append(
            evidence_of(
                one,
                "directions that matter, first layer over logits",
                layers.effective[:, 0] / layers.effective[:, -1],
                1.0,
                "no loss of directions",
            )
        )
    return Claim(
        statement="The chain of layers makes the score fall on its way to the output.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="it falls as much in the linearised chain: what falls is the number of directions that matter",
    )


def _steepness(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        kinds = one.kinds
        point, pairs = kinds.lipschitz_point[:, 1], kinds.lipschitz_pairs[:, 1]
        known = np.isfinite(point)
        if not known.any():
            continue
        share = float(np.mean(point[known] < 1))
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"share of {int(known.sum())} adversarial examples whose Jacobian's norm is below 1",
                value=share,
                control=float(np.mean(pairs[known] < 1)),
                control_name="by sampled pairs, which only bound it from below",
                holds=share > 0.5 if one.trained else None,
            )
        )
        evidence.append(
            Evidence(
                model=one.name,
                quantity="the same for pixels in [0, 255]",
                value=float(np.mean(point[known] < 255)),
                control=float(np.mean(kinds.lipschitz_point[:, 0] < 1)),
                control_name="clean images, pixels in [0, 1]",
            )
        )
        evidence.append(
            evidence_of(
                one,
                "norm of the Jacobian there, logits per ℓ2",
                point,
                kinds.product,
                "the product of the layers' norms, a bound from above",
            )
        )
    return Claim(
        statement="Locally, the Lipschitz constant is below 1 for most adversarial examples.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="in logits per ℓ2 over pixels in [0, 1]; in other units the same numbers are 255 times smaller, so the"
        " verdict is about a unit",
    )


def _adversarial_steeper(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        kinds = one.kinds
        evidence.append(
            evidence_of(
                one,
                "norm of the Jacobian, adversarial minus clean, image by image",
                kinds.difference("lipschitz_point", 1),
                middle(kinds.difference("lipschitz_point", 2)),
                "noise as long minus clean",
                above=0.0,
            )
        )
    return Claim(
        statement="Networks are steeper at adversarial examples than at the images they were made from.",
        reference="beside that paper: paired comparison of our own",
        evidence=tuple(evidence),
        note="of images whose class the attack changes",
    )


def _affine(measured: Sequence[Measured]) -> Claim:
    evidence = []
    for one in measured:
        sweep = one.sweep
        for place in (0, 2):
            evidence.append(
                evidence_of(
                    one,
                    f"residual of the linearisation at radius {sweep.radius[place]:g}",
                    sweep.residual[:, place],
                    0.0,
                    "every affine map",
                    below=_MUCH if place == 2 else None,
                )
            )
        if np.isfinite(sweep.changed).any():
            evidence.append(
                evidence_of(
                    one,
                    f"share of units on another side at radius {sweep.radius[2]:g}",
                    sweep.changed[:, 2],
                    0.0,
                    "one affine piece",
                )
            )
            evidence.append(evidence_of(one, "length to the nearest kink on any ray, ℓ2", sweep.first_kink, None, ""))
    return Claim(
        statement="Perturbations stay where the network is the chain of affine maps that it is at the image.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="affine is counted as a residual below 5 %",
    )
