"""What is claimed about level sets and blind spots, tested on the demo models.

Walks are the published ones, 100 steps with a delta of 0.2; all models of a data set walk between the same images.
Means and their intervals are those over sources, since the walks of one source are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.reproduce.estimates import above, median, median_interval
from core.reproduce.report import Claim, Evidence, check_demo
from core.reproduce.walked import DELTA, TRAINED, UNTRAINED, Walked, pairs_of, triangle_shares, walk

if TYPE_CHECKING:
    from core.runtime.progress import OnProgress

PAPER = (
    "Balasubramanian, Sriramanan, Sadasivan, Feizi, Exploring Geometry of Blind Spots in Vision Models, NeurIPS 2023,"
    " arXiv 2310.19889"
)

_NEAR = 0.25  # of the way left: an end that is counted as near its target
_NEARLY_ALL = 0.9
_CLEAR = 0.05  # of confidence: a gap that is counted as one
_USUAL = ("standard", "relu", "vit")  # trained without an adversary and without PRIME
_SPOTS = 4  # targets of a source


def claims(
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    count: int = 12,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims on demo models.

    Args:
        models: sources such as demo:photos/standard; those trained on other images than the set's are left out.
        device: where they run; the best one here when not given.
        on_progress: told the fraction done.
        count: sources of each data set, drawn evenly from the classes; each walks to four targets.
        seed: of what is random.

    Yields:
        Each claim as soon as its numbers are there; those that need models which are not asked about are left out.

    Raises:
        ValueError: if a model is no demo model, or none is left.
    """
    from core.runtime.progress import silent

    told = on_progress or silent
    check_demo(models)
    names = [source.removeprefix("demo:") for source in models]
    names = [name for name in names if _training(name) in (*TRAINED, UNTRAINED)]
    if not any(_training(name) in TRAINED for name in names):
        raise ValueError(f"expected a model out of {', '.join(TRAINED)}, got {', '.join(models)}")
    walked: list[Walked] = []
    for data in dict.fromkeys(name.split("/")[0] for name in names):
        for one in _measured([name for name in names if name.startswith(f"{data}/")], device, count, seed):
            walked.append(one)
            told(0.9 * len(walked) / len(names))
    yield _near(walked)
    yield _linear(walked)
    yield _not_convex(walked)
    for claim in (_under_sensitive(walked), _wide(walked)):
        if claim is not None:
            yield claim
    told(1.0)


def _training(name: str) -> str:
    return name.split("/")[1].split("-")[0]


def _measured(names: Sequence[str], device: str | None, count: int, seed: int) -> Iterator[Walked]:
    """All models of one data set; an untrained one walks between the same images."""
    from core.images.load import load_images
    from core.models.load import load_classifier

    images = load_images(f"demo:{names[0].split('/')[0]}")
    classifiers = {name: load_classifier(f"demo:{name}", device) for name in names}
    trained = [one for name, one in classifiers.items() if _training(name) in TRAINED]
    if not trained:  # only an untrained one of this set: there is nothing to be sure of
        return
    pairs = pairs_of(trained, images, count, _SPOTS, seed)
    for name, classifier in classifiers.items():
        yield walk(name, classifier, pairs, seed)


def _decides(one: Walked) -> bool:
    return one.training != UNTRAINED


def _near(walked: Sequence[Walked]) -> Claim:
    evidence = []
    for one in walked:
        ratio = np.where(np.isfinite(one.paths.ratio), one.paths.ratio, 1.0)
        interval = median_interval(ratio)
        rmse, start = median(one.distances.rmse), median(one.distances.start_rmse)
        likeness = f"SSIM {median(one.distances.ssim):.2f}, at the start {median(one.distances.start_ssim):.2f}"
        largest = f"l-infinity {median(one.distances.largest):.2f}, {median(one.distances.start_largest):.2f}"
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"left of the way, median of {len(ratio)} walks (rms {rmse:.3f} of {start:.3f}; {largest};"
                f" {likeness})",
                value=median(ratio),
                interval=interval,
                control=median(one.paths.floor),
                control_name="the schedule's floor",
                holds=bool(interval and interval[1] < _NEAR) if _decides(one) else None,
            )
        )
        known = np.isfinite(one.paths.end_confidence)
        if known.any():
            evidence.append(
                Evidence(
                    model=one.name,
                    quantity="final confidence in the source's class, median",
                    value=median(one.paths.end_confidence[known]),
                    control=median(one.paths.source_confidence[known]),
                    control_name="at the source",
                )
            )
    return Claim(
        statement=f"Walks that keep the confidence within {DELTA:g} end near images of other classes: blind spots.",
        reference=PAPER,
        evidence=tuple(evidence),
        note=f"counted as near: less than {_NEAR:g} of the way left for the median walk. A published walk ends at its"
        " first step that leaves, and is not corrected for curvature; in a few thousand pixels the direction across the"
        " level set costs more of the way than in many. Untrained: it loses shares of its own confidence",
    )


def _linear(walked: Sequence[Walked]) -> Claim:
    evidence = []
    for one in walked:
        found = above(
            one.name,
            f"share of straight ways from source to blind spot that stay within {DELTA:g}, mean over sources",
            one.star.share,
            one.by_source(one.straight.astype(np.float64)),
            "straight ways to the targets themselves",
            decides=_decides(one),
        )
        holds = None if found.holds is None else found.holds and found.value >= _NEARLY_ALL
        evidence.append(replace(found, holds=holds))
    return Claim(
        statement="A source is linearly connected to its blind spots: on the straight way the confidence stays.",
        reference=PAPER,
        evidence=tuple(evidence),
        note=f"counted as connected: {_NEARLY_ALL:.0%} of the ways or more, and more than to the targets. Ways are"
        " looked at in 21 points",
    )


def _not_convex(walked: Sequence[Walked]) -> Claim:
    evidence = []
    for one in walked:
        owner = one.pairs.owner
        spokes = one.by_source(one.star.spoke_least)
        between = owner[one.star.chords[:, 0]]
        chords = np.bincount(between, one.star.chord_least, len(spokes)) / np.bincount(between, minlength=len(spokes))
        decides = one.training in _USUAL
        found = above(
            one.name,
            f"least confidence between source and spot (gap {float(np.mean(spokes - chords)):.3f})",
            spokes,
            chords,
            "between two spots",
            decides=decides,
        )
        clear = bool(float(np.mean(spokes - chords)) >= _CLEAR)
        evidence.append(replace(found, holds=found.holds and clear if decides else None))
        shares = {delta: float(values.mean()) for delta, values in one.shares.items()}
        others = ", ".join(f"{share:.2f} within {delta:g}" for delta, share in shares.items() if delta != DELTA)
        evidence.append(
            Evidence(
                model=one.name,
                quantity=f"lattice share of triangles within {DELTA:g} ({others})",
                value=shares[DELTA],
            )
        )
    return Claim(
        statement="For models trained as usual the level set is not convex: between two blind spots the confidence"
        " falls.",
        reference=PAPER,
        evidence=tuple(evidence),
        note=f"counted as not convex: a gap of {_CLEAR:g} or more whose interval is above 0. Models trained otherwise"
        " stand beside. A published walk may raise the confidence, so that spots are surer than their source, which"
        " pulls the gap down. Triangles have lattices of 10 steps",
    )


def _partners(walked: Sequence[Walked]) -> list[tuple[Walked, Walked]]:
    """Adversarially trained models with the standard one of the same data set and seed."""
    plain = {(one.data, one.seed): one for one in walked if one.training == "standard"}
    strong = [one for one in walked if one.training == "adversarial"]
    return [(one, plain[one.data, one.seed]) for one in strong if (one.data, one.seed) in plain]


def _under_sensitive(walked: Sequence[Walked]) -> Claim | None:
    evidence = []
    for strong, plain in _partners(walked):
        far, near = (_shortened(one, other) for one, other in ((strong, plain), (plain, strong)))
        equal = [
            triangle_shares(one.classifier, one.pairs, ends, 1.0)[DELTA] for one, ends in ((strong, far), (plain, near))
        ]
        name = plain.name
        evidence.append(
            above(strong.name, f"share of triangles of equal reach within {DELTA:g}", equal[0], equal[1], name)
        )
        as_walked = f"share of triangles within {DELTA:g}, each with its own ends"
        both = strong.shares[DELTA], plain.shares[DELTA]
        evidence.append(above(strong.name, as_walked, *both, name, decides=False))
        ratios = [one.by_source(np.nan_to_num(one.paths.ratio, nan=1.0)) for one in (strong, plain)]
        evidence.append(above(strong.name, "left of the way, mean", ratios[0], ratios[1], name, decides=False))
        lengths = [one.by_source(_lengths(one).numpy()) for one in (strong, plain)]
        words = "length of the way from source to blind spot, ℓ2 (trained against up to"
        radius = {"photos": 1.0, "digits": 2.0}.get(strong.data, math.nan)
        evidence.append(above(strong.name, f"{words} {radius:g})", lengths[0], lengths[1], name, decides=False))
    if not evidence:
        return None
    return Claim(
        statement="Adversarially trained models are under-sensitive: more of the triangles between blind spots stays.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="decided on triangles whose corners lie equally far from the source in both models, the longer way cut to"
        " the length of the shorter: a walk that stays put would win the share",
    )


def _ends(one: Walked) -> tuple[Tensor, Tensor]:
    """Sources and ends of all pairs; a walk that never began is still at its source."""
    starts = one.pairs.sources[torch.from_numpy(one.pairs.owner)]
    ends = torch.from_numpy(one.paths.endpoints).to(starts.dtype)
    return starts, torch.where(torch.isfinite(ends), ends, starts)


def _lengths(one: Walked) -> Tensor:
    starts, ends = _ends(one)
    lengths: Tensor = (ends - starts).double().flatten(1).norm(dim=1)
    return lengths


def _shortened(one: Walked, other: Walked) -> Tensor:
    """The ends of one model's walks, on the straight way back to where the other's are no farther from the source."""
    starts, ends = _ends(one)
    own, theirs = _lengths(one), _lengths(other)
    part = (theirs / own.clamp(min=1e-12)).clamp(max=1.0).to(starts.dtype).view(-1, 1, 1, 1)
    return torch.lerp(starts, ends, part)


def _wide(walked: Sequence[Walked]) -> Claim | None:
    evidence = []
    for one in walked:
        quantity = "width of the level set at a blind spot, which 95 % of tangent directions have, ℓ2, mean"
        at_source = "at the source"
        evidence.append(above(one.name, quantity, one.width, one.width_at_source, at_source, decides=False))
    for strong, plain in _partners(walked):
        evidence.append(above(strong.name, "the same", strong.width, plain.width, plain.name))
    if not any(entry.holds is not None for entry in evidence):
        return None
    return Claim(
        statement="At blind spots the level sets of adversarially trained models are wider.",
        reference=PAPER,
        evidence=tuple(evidence),
        note="32 random directions orthogonal to the way and to the gradient, lengths after clipping to the pixel box;"
        " in thousands of dimensions nearly every direction is a tangent one",
    )
