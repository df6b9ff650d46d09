"""What is claimed about distances by frequency, and about PRIME, tested on the demo models.

Distances are those inside windows of 8 x 8 frequencies along the diagonal, of correctly classified images only. Numbers
of two models are compared on the same images. Intervals are those of the bootstrap over images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.reproduce.measured import RADIUS, STEPS, TRAINED, Measured, measure
from core.reproduce.moved_samples import moved_samples
from core.reproduce.report import Claim, Evidence, check_demo

if TYPE_CHECKING:
    from core.runtime.progress import OnProgress

MARGINS = "Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight!, NeurIPS 2020, arXiv 2002.06349"
PRIME = "Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME, ECCV 2022, arXiv 2112.13547"

_DRAWS = 1000  # of the bootstrap
_SEEDS = 3  # of the synthetic samples
_MUCH = 2.0  # times as far: what is counted as a change and not as noise between two trainings


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 30,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims on demo models.

    Args:
        models: sources such as demo:photos/standard.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: images of each model whose distances are measured, drawn evenly from the classes; accuracies are those
            of six times as many.
        seed: of what is random.

    Yields:
        Each claim as soon as its numbers are there; those that need models which are not asked about are left out.

    Raises:
        ValueError: if a model is no demo model.
    """
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    measured = []
    for place, source in enumerate(models):
        measured.append(measure(source, device, count, seed))
        told(0.9 * (place + 1) / len(models))
    for claim in (_rise(measured), _lift(measured), _removed(measured), _mirrored(measured)):
        if claim is not None:
            yield claim
    yield _moved(seed)
    told(1.0)
    for claim in (_endures(measured), _not_robust(measured)):
        if claim is not None:
            yield claim


def _interval(count: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """The 95 % interval of a statistic of rows, by the bootstrap."""
    draws = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    values = np.array([statistic(rows) for rows in draws])
    low, high = np.nanquantile(values, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def _mean_interval(values: np.ndarray) -> tuple[float, float]:
    return _interval(len(values), lambda rows: float(values[rows].mean()))


def _median(distance: np.ndarray) -> float:
    """The median, where a boundary that was not found is infinitely far."""
    return float(np.quantile(np.nan_to_num(distance, nan=np.inf), 0.5, method="inverted_cdf"))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The ratio of two medians over the same images, with its interval."""

    def of(rows: np.ndarray) -> float:
        below = _median(bottom[rows])
        return _median(top[rows]) / below if np.isfinite(below) else float("nan")

    return of(np.arange(len(top))), _interval(len(top), of)


def _rise(measured: Sequence[Measured]) -> Claim | None:
    evidence = []
    for one in measured:
        if one.training not in (*TRAINED, "untrained"):
            continue
        used = one.margins.right if one.training != "untrained" else one.margins.source_class >= 0
        if not used.any():
            continue
        distance = one.margins.distance[used]
        value, interval = _ratio(distance[:, -1], distance[:, 0])
        evidence.append(
            Evidence(
                model=one.name,
                quantity="median distance, highest over lowest window",
                value=value,
                interval=interval,
                control=1.0,
                control_name="no preferred direction: windows have equal dimension",
                holds=None if one.training == "untrained" else interval[0] > 1,
            )
        )
    if not evidence:
        return None
    null = any(entry.holds is None for entry in evidence)
    return Claim(
        statement="Margins rise with frequency: models are more invariant to high frequencies than to low ones.",
        reference=MARGINS,
        evidence=tuple(evidence),
        note="an untrained model stands beside: what it shows comes from the architecture alone" if null else "",
    )


def _pairs(measured: Sequence[Measured], training: str, against: str) -> list[tuple[Measured, Measured]]:
    """Models of one data set and seed that were trained in two ways."""
    others = {(one.data, one.seed): one for one in measured if one.training == against}
    keys = [((one.data, one.seed), one) for one in measured if one.training == training]
    return [(one, others[key]) for key, one in keys if key in others]


def _lift(measured: Sequence[Measured]) -> Claim | None:
    evidence = []
    for strong, plain in _pairs(measured, "adversarial", "standard"):
        both = strong.margins.right & plain.margins.right
        if not both.any():
            continue
        above, below = strong.margins.distance[both], plain.margins.distance[both]
        low, high = (_ratio(above[:, window], below[:, window])[0] for window in (0, -1))

        def more(rows: np.ndarray, above: np.ndarray = above, below: np.ndarray = below) -> float:
            ends = [_median(above[rows, window]) / _median(below[rows, window]) for window in (-1, 0)]
            return ends[0] / ends[1]

        interval = _interval(int(both.sum()), more)
        evidence.append(
            Evidence(
                model=strong.name,
                quantity=f"lift of the highest window over that of the lowest ({high:.3g} x over {low:.3g} x)",
                value=high / low,
                interval=interval,
                control=1.0,
                control_name="an equal lift everywhere",
                holds=interval[0] > 1,
            )
        )
    if not evidence:
        return None
    return Claim(
        statement="Adversarial training moves the boundary away in all frequencies, most of all in high ones.",
        reference=MARGINS,
        evidence=tuple(evidence),
        note="distances beyond the diagonal of the pixel box are about the function, not about possible images",
    )


def _removed(measured: Sequence[Measured]) -> Claim | None:
    known = {one.name: one for one in measured}
    passed, plain = known.get("digits/lowpass"), known.get("digits/standard")
    if passed is None or plain is None:
        return None
    used, both = passed.margins.right, passed.margins.right & plain.margins.right
    evidence = []
    for window in range(1, passed.margins.distance.shape[1]):
        far = passed.margins.distance
        value, interval = _ratio(far[used, window], far[used, 0])
        control = float(plain.medians[window] / plain.medians[0])
        where = passed.margins.labels[window]
        evidence.append(
            Evidence(
                model=passed.name,
                quantity=f"median distance over that in the lowest window, {where}",
                value=value,
                interval=interval,
                control=control,
                control_name="digits/standard",
                holds=interval[0] > control,
            )
        )
        value, interval = _ratio(far[both, window], plain.margins.distance[both, window])
        evidence.append(
            Evidence(
                model=passed.name,
                quantity=f"median distance over that of digits/standard, {where}",
                value=value,
                interval=interval,
                control=float(passed.medians[0] / plain.medians[0]),
                control_name="the same in the lowest window",
            )
        )
    return Claim(
        statement="Relative to the frequencies it was given, a model trained without high ones is invariant to them.",
        reference=MARGINS,
        evidence=tuple(evidence),
        note="one pair of models; the images are low-passed for the one, which brings them nearer to each other",
    )


def _mirrored(measured: Sequence[Measured]) -> Claim | None:
    known = {one.name: one for one in measured}
    turned, plain = known.get("digits/flipped"), known.get("digits/standard")
    if turned is None or plain is None:
        return None
    own, original = _shape(turned.medians), _shape(plain.medians)
    apart, straight = (float(np.sqrt(np.mean((curve - original) ** 2))) for curve in (own[::-1], own))
    used = turned.margins.right
    distance = turned.margins.distance[used]
    value, interval = _ratio(distance[:, -1], distance[:, 0])
    return Claim(
        statement="The curve follows the data: on images whose frequencies are turned round it is mirrored.",
        reference=MARGINS,
        evidence=(
            Evidence(
                model=turned.name,
                quantity="difference in shape of the mirrored curve and that of digits/standard (rms of ln)",
                value=apart,
                control=straight,
                control_name="the curve as it is",
                holds=apart < straight,
            ),
            Evidence(
                model=turned.name,
                quantity="median distance, highest over lowest window",
                value=value,
                interval=interval,
                control=plain.medians[-1] / plain.medians[0],
                control_name="digits/standard",
                holds=interval[1] < 1,
            ),
        ),
        note="one pair of models",
    )


def _shape(medians: np.ndarray) -> np.ndarray:
    """The logarithm of a curve, about its mean: a factor, such as half the contrast, changes nothing."""
    shape: np.ndarray = np.log(medians) - np.log(medians).mean()
    return shape


def _moved(seed: int) -> Claim:
    evidence = []
    for number in range(_SEEDS):
        before, after, scattered = (moved_samples(move, seed + number) for move in ("none", "by class", "at random"))
        value, control = after.discriminative / before.discriminative, scattered.discriminative / before.discriminative
        evidence.append(
            Evidence(
                model=f"synthetic/perceptron{f'-{number}' if number else ''}",
                quantity="distance along the direction in which no sample moved, after over before",
                value=value,
                control=control,
                control_name="samples moved as far, regardless of class",
                holds=value > _MUCH * max(1.0, control),
            )
        )
    return Claim(
        statement="Moving the training samples along one direction makes the model invariant to an orthogonal one.",
        reference=MARGINS,
        evidence=tuple(evidence),
        note="1,000 synthetic samples in 100 dimensions, a perceptron of two hidden layers",
    )


def _endures(measured: Sequence[Measured]) -> Claim | None:
    evidence = []
    for against in ("standard", "adversarial"):
        for ours, theirs in _pairs(measured, "prime", against):
            gain = ours.corrupted - theirs.corrupted
            low, high = _mean_interval(gain)
            evidence.append(
                Evidence(
                    model=ours.name,
                    quantity=f"accuracy under corruptions, minus that of {theirs.name}",
                    value=float(gain.mean()),
                    interval=(low, high),
                    control=float(theirs.corrupted.mean()),
                    control_name=f"accuracy of {theirs.name}",
                    holds=low > 0 if against == "standard" else None,
                )
            )
    if not evidence:
        return None
    return Claim(
        statement="PRIME makes models endure common corruptions.",
        reference=PRIME,
        evidence=tuple(evidence),
        note="12 corruptions of our own at severities 1 to 5; filters and colour curves of the training resemble some"
        " of them",
    )


def _not_robust(measured: Sequence[Measured]) -> Claim | None:
    evidence = []
    for ours, theirs in _pairs(measured, "prime", "adversarial"):
        lost = theirs.attacked.astype(float) - ours.attacked.astype(float)
        low, high = _mean_interval(lost)
        evidence.append(
            Evidence(
                model=ours.name,
                quantity=f"accuracy of {theirs.name} at ℓ2 {RADIUS[ours.data]:g}, minus that of this one",
                value=float(lost.mean()),
                interval=(low, high),
                control=float(ours.attacked.mean()),
                control_name="accuracy of this one",
                holds=low > 0,
            )
        )
    if not evidence:
        return None
    return Claim(
        statement="Against projected gradient descent PRIME does not win: adversarial training does.",
        reference=PRIME,
        evidence=tuple(evidence),
        note=f"{STEPS} steps, random start, inside the pixel box",
    )
