"""What is claimed about curved boundaries, shared directions, the detector and connected regions, on the demo models.

Every number stands beside a control: a random symmetric matrix, random directions, the same directions with their
shapes lost, chance. The untrained model stands beside as the null: what it shows comes from the architecture alone. A
network of kinks has no curvature of its own, and is measured at two stated scales; it counts only where both agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.geometry.common.intervals import wilson
from core.reproduce.estimates import above, median_interval
from core.reproduce.measured_curvature import CONFIDENCE, NEAR, PAIRS, MeasuredCurvature, measure_curvature
from core.reproduce.report import Claim, Evidence, check_demo

if TYPE_CHECKING:
    from core.geometry.detector.evaluation import DetectionExhibit
    from core.runtime.progress import OnProgress

REGIONS = "Fawzi, Moosavi-Dezfooli, Frossard, Soatto, CVPR 2018, arXiv 1705.09552"
UNIVERSAL = "Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Soatto, ICLR 2018, arXiv 1705.09554"

_MOST = 0.5  # of the directions
_RECOVERED = 0.9  # of the images
_SEMICIRCLE = (8 / (3 * math.pi)) ** 2  # participation over dimension of a random symmetric matrix
_SEMICIRCLE_FLAT = 0.0637  # its share of eigenvalues within 5 % of the largest: (4 / pi) 0.05, to first order
_NULL = "an untrained model stands beside: what it shows comes from the architecture alone"
_SCALES = "a network of kinks is measured at two scales h, and counts where both agree"


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 18,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims on demo models.

    Args:
        models: sources such as demo:photos/standard.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: images of each model that directions come from, as many others, and pairs of each kind; three times as
            many are scored.
        seed: of what is random.

    Yields:
        Each claim, once all models are measured.

    Raises:
        ValueError: if a model is no demo model.
    """
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    measured: list[MeasuredCurvature] = []
    for place, source in enumerate(models):
        measured += measure_curvature(source, device, count, seed)
        told((place + 1) / len(models))
    convex, detected = _convex(measured), _detected(measured)
    null = f"; {_NULL}" if any(not one.trained for one in measured) else ""
    for claim in (
        _flat(measured),
        _either_side(convex, "Curvatures are asymmetric: their signs do not balance, to one side or the other."),
        convex,
        *(of(measured) for of in (_shared, _fragile, _universal)),
        _either_side(detected, "Mean curvature, of either sign, gives away images just across the boundary."),
        detected,
        *(of(measured) for of in (_recovered, _connected)),
    ):
        yield replace(claim, note=claim.note + null)


def _either_side(claim: Claim, statement: str) -> Claim:
    """The same numbers, where an interval on the other side of a half counts too."""
    evidence = tuple(
        replace(entry, holds=entry.interval[1] < 0.5) if entry.holds is False and entry.interval else entry
        for entry in claim.evidence
    )
    return replace(claim, statement=statement, evidence=evidence)


def _of_null(one: MeasuredCurvature, evidence: Evidence) -> Evidence:
    """Evidence that only stands beside where the model is untrained."""
    return evidence if one.trained else replace(evidence, holds=None)


def _middle(values: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """The median of what is known, with its interval where there are enough images for one."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, None
    interval = median_interval(known) if len(known) >= 6 else None  # below, none covers 95 %
    finite = interval is not None and all(map(math.isfinite, interval))
    value = float(np.median(known))
    return (value if math.isfinite(value) else math.nan), interval if finite else None


def _flat(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        found = one.summary
        for words, values, control, name in (
            ("share of directions with |k| D < 0.1, median", found.flat_fraction, None, ""),
            (
                "share with |k| below 5 % of the largest, median",
                found.relatively_flat_fraction,
                _SEMICIRCLE_FLAT,
                "a random symmetric matrix",
            ),
        ):
            value, interval = _middle(values)
            holds = None if math.isnan(value) else (interval[0] if interval else value) > _MOST
            evidence.append(
                _of_null(
                    one,
                    Evidence(
                        model=one.name,
                        quantity=words + one.at,
                        value=value,
                        interval=interval,
                        control=control,
                        control_name=name,
                        holds=holds,
                    ),
                )
            )
        value, _ = _middle(found.participation / found.dimension)
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"share of directions that hold the curvature (participation), median{one.at}",
                value=value,
                control=_SEMICIRCLE,
                control_name="a random symmetric matrix",
            )
        )
    return Claim(
        statement="The boundary is flat in most directions and curved in few.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note=f"full spectra of three images for networks of kinks, else densities by quadrature; {_SCALES}",
    )


def _convex(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        score = one.overshoot.clean_nearest
        known = score[np.isfinite(score)]
        low, high = wilson(float((known < 0).sum()), len(known))
        share = float((known < 0).mean()) if len(known) else math.nan
        evidence.append(
            _of_null(
                one,
                Evidence(
                    model=one.name,
                    quantity=f"share of images with a negative mean curvature{one.at}",
                    value=share,
                    interval=(float(low), float(high)) if len(known) else None,
                    control=0.5,
                    control_name="no preferred side",
                    holds=bool(low > 0.5) if len(known) else None,
                ),
            )
        )
        value, interval = _middle(one.summary.asymmetry)
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"sum of negative over sum of positive curvatures, median{one.at}",
                value=value,
                interval=interval,
                control=-1.0,
                control_name="no preferred side",
            )
        )
    return Claim(
        statement="Curvatures are asymmetric: on balance the boundary closes around the image's class.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note=f"k < 0 where the image's class is convex; {_SCALES}",
    )


def _per_image(ratio: np.ndarray) -> np.ndarray:
    """The median over directions of each boundary point; NaN where there is none."""
    values: np.ndarray = np.median(ratio, axis=1)
    return values


def _shared(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        found = one.sharing
        unseen, scrambled = _per_image(found.unseen), _per_image(found.scrambled)
        words = f"curvature along shared directions over that along random ones{one.at}"
        tests = (
            above(one.name, f"{words}, on unseen images", unseen, np.ones_like(unseen), "random directions"),
            above(one.name, f"{words}, on unseen images", unseen, scrambled, "same frequencies, shapes lost"),
        )
        evidence += [_of_null(one, entry) for entry in tests]
        value, interval = _middle(_per_image(found.noise))
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"the same on uniform noise, median{one.at}",
                value=value,
                interval=interval,
                control=_middle(unseen)[0],
                control_name="on unseen images, median",
            )
        )
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"share of unseen images and directions that bend to the side of the mean{one.at}",
                value=found.same_sign,
                control=0.5,
                control_name="chance",
            )
        )
    return Claim(
        statement="Curved directions are shared: what bends the boundary for some images bends it for others.",
        reference=UNIVERSAL,
        evidence=tuple(evidence),
        note=f"noise beside: where it is as high, directions belong to the model, not to images; {_SCALES}",
    )


def _flips(one: MeasuredCurvature, whose: str, span: str) -> np.ndarray:
    """For each image the share of noise that changes its class in a subspace, over all lengths."""
    found = one.own if whose == "own" else one.shared
    share: np.ndarray = found.flipped[:, list(found.spans).index(span)].mean(1)
    return share


def _fragile(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        random = _flips(one, "own", "random")
        for span, words, decides in (
            ("convex", "most negative curvature", True),
            ("curved", "largest curvature by magnitude", True),
            ("concave", "most positive curvature", False),
            ("flat", "no curvature to speak of", False),
        ):
            entry = above(
                one.name,
                f"share of noise that flips, along directions of {words}{one.at}",
                _flips(one, "own", span),
                random,
                "random tangent directions",
                decides=decides and one.trained,
            )
            evidence.append(entry)
    return Claim(
        statement="The classifier is fragile along the curved directions of an image, more than along others.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note=f"noise of 0.5 to 8 median distances, mean over lengths; {_SCALES}",
    )


def _universal(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        curved = _flips(one, "shared", "curved")
        words = f"share of noise that flips unseen images, along shared directions{one.at}"
        tests = (
            above(one.name, words, curved, _flips(one, "shared", "all of space"), "all of space"),
            above(one.name, words, curved, _flips(one, "shared", "scrambled"), "shapes lost"),
        )
        evidence += [_of_null(one, entry) for entry in tests]
    return Claim(
        statement="Noise in the shared curved subspace, the same for all images, is a universal perturbation.",
        reference=UNIVERSAL,
        evidence=tuple(evidence),
        note=f"the same noise on every image; 0.5 to 8 median distances, mean over lengths; {_SCALES}",
    )


def _area(
    one: MeasuredCurvature, found: DetectionExhibit, place: int, score: int, words: str, decides: bool
) -> Evidence:
    value, low, high = (float(part[place, score]) for part in (found.auc, found.auc_low, found.auc_high))
    known = math.isfinite(value)
    return Evidence(
        model=one.name,
        quantity=f"AUC, {words}{one.at}",
        value=value,
        interval=(low, high) if known else None,
        control=0.5,
        control_name="chance",
        holds=low > 0.5 if known and decides and one.trained else None,
    )


def _detected(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    for one in measured:
        for place, factor in enumerate(one.overshoot.overshoot.tolist()):
            evidence.append(_area(one, one.overshoot, place, 0, f"{factor:g} times the distance", place == NEAR))
        for place, kind in enumerate(map(str, one.attacked.attack)):
            evidence.append(_area(one, one.attacked, place, 0, f"by {kind}", False))
        evidence.append(_area(one, one.every, 0, 1, "all class boundaries, 1.1 times the distance", False))
    return Claim(
        statement="A high mean curvature gives away images just across the boundary.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note=f"an exhibit, never a defence; {CONFIDENCE:.0%} bands; the nearest boundary at 1.1 distances decides;"
        f" below 0.5 the score points the other way; {_SCALES}",
    )


def _recovered(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    seen: set[str] = set()
    for one in measured:
        if one.name in seen:  # curvature does not enter: the same at every scale
            continue
        seen.add(one.name)
        for found in (one.overshoot, one.attacked):
            low, high = found.recovery_interval
            for place, kind in enumerate(map(str, found.attack)):
                value = float(found.recovery[place])
                plain = kind == "overshoot"
                words = f"{found.overshoot[place]:g} times the distance" if plain else f"by {kind}"
                decides = plain and place == NEAR and one.trained and math.isfinite(value)
                evidence.append(
                    Evidence(
                        model=one.name,
                        quantity=f"share with the class before across the nearest boundary, {words}",
                        value=value,
                        interval=(float(low[place]), float(high[place])) if math.isfinite(value) else None,
                        control=1 / (one.num_classes - 1),
                        control_name="a guess",
                        holds=value > _RECOVERED if decides else None,
                    )
                )
    return Claim(
        statement=f"The class before a small perturbation is recovered, for more than {_RECOVERED:.0%} of images.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note="it falls with the length, because another boundary becomes the nearest; curvature does not enter",
    )


def _connected(measured: Sequence[MeasuredCurvature]) -> Claim:
    evidence = []
    seen: set[str] = set()
    for one in measured:
        if one.name in seen:
            continue
        seen.add(one.name)
        for kind in PAIRS:
            paths = one.paths.get(kind)
            if paths is None:
                evidence.append(Evidence(model=one.name, quantity=f"paths found, {kind}", value=math.nan))
                continue
            count, hits = len(paths.found), int(paths.found.sum())
            low, high = (float(end) for end in wilson(hits, count))
            missed = "; ".join(sorted(set(map(str, paths.status[~paths.found]))))
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity=f"share of {count} pairs with a path, {kind}"
                    + (f" (not found: {missed})" if missed else ""),
                    value=hits / count,
                    interval=(low, high),
                    control=float((paths.status == "straight").mean()),
                    control_name="by the straight segment alone",
                    holds=hits == count if one.trained else None,
                )
            )
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity=f"length of the paths over the distance, median, {kind}",
                    value=_middle(paths.length_ratio)[0],
                    control=1.0,
                    control_name="a straight segment",
                )
            )
    return Claim(
        statement="Two images of a class lie in one connected region: a path was found for every pair.",
        reference=REGIONS,
        evidence=tuple(evidence),
        note="a path is evidence at the resolution at which it was checked; none found proves nothing",
    )
