"""Claims about curvature and regions on results whose verdicts are known, and on demo models."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.geometry.curvature.profile import curvature_profile
from core.geometry.curvature.summary import CurvatureSummary
from core.geometry.detector.evaluation import DetectionExhibit
from core.geometry.regions.connect import RegionPaths
from core.geometry.shared_directions.sharing import DirectionNoise, DirectionSharing
from core.images.load import load_images
from core.models.load import load_classifier
from core.reproduce import claims_about, curvature
from core.reproduce.curvature import PAIRS, MeasuredCurvature, connected, spectra
from core.reproduce.report import plain

COUNT = 20
COST: dict[str, Any] = {"forwards": 0, "gradients": 0, "seconds": 0.0}


def a_summary(curvatures: tuple[float, ...]) -> CurvatureSummary:
    values = np.tile(np.sort(np.array(curvatures))[::-1], (COUNT, 1))
    empty = np.empty((COUNT, 0))
    return CurvatureSummary(
        curvatures=values, distance=np.ones(COUNT), nodes=empty, weights=empty, dimension=len(curvatures), **COST
    )


def a_sharing(unseen: float, scrambled: float) -> DirectionSharing:
    spread = np.random.default_rng(0).uniform(0.9, 1.1, (COUNT, 2))
    return DirectionSharing(
        directions=np.zeros((2, 1, 4, 4)),
        curvatures=np.array([0.5, -0.5]),
        seen=unseen * spread,
        unseen=unseen * spread,
        noise=np.ones((COUNT, 2)),
        scrambled=scrambled * spread[::-1],
        along=np.tile([0.1, 0.1], (COUNT, 1)),
        typical=np.ones(COUNT),
        complete=True,
        converged=True,
        asymmetry_ratio=0.0,
        scale=math.nan,
        products=0,
        **COST,
    )


def noise_along(whose: str, **rates: float) -> DirectionNoise:
    spread = np.random.default_rng(1).uniform(-0.01, 0.01, (COUNT, 1, 3))
    flipped = np.array(list(rates.values()))[None, :, None] + spread * np.arange(len(rates))[None, :, None]
    return DirectionNoise(
        flipped=flipped,
        length=np.array([0.5, 1.0, 2.0]),
        spans=tuple(name.replace("_", " ") for name in rates),
        dimension=np.full(len(rates), 2),
        draws=8,
        distance=np.ones(COUNT),
        whose=whose,
        scale=math.nan,
        products=0,
        **COST,
    )


def an_exhibit(attacks: tuple[str, ...], clean: float, auc: float, recovery: float) -> DetectionExhibit:
    size = len(attacks)
    area, curve = np.full((size, 2), auc), np.zeros((size, 2, 3))
    return DetectionExhibit(
        attack=np.array(attacks),
        overshoot=np.array([1.1 + place for place in range(size)]),
        clean_nearest=np.full(COUNT, clean),
        clean_all=np.full(COUNT, clean),
        score_nearest=np.full((size, COUNT), -clean),
        score_all=np.full((size, COUNT), -clean),
        changed=np.ones((size, COUNT), bool),
        auc=area,
        auc_low=area - 0.1,
        auc_high=area + 0.1,
        false_positives=np.linspace(0, 1, 3),
        true_positives=curve,
        true_positives_low=curve,
        true_positives_high=curve,
        recovery=np.full(size, recovery),
        confidence=0.95,
        products=0,
        **COST,
    )


def some_paths(status: tuple[str, ...]) -> RegionPaths:
    count = len(status)
    found = np.isin(status, ("straight", "bent"))
    numbers = {
        name: np.where(found, 1.0, np.nan)
        for name in ("distance", "length", "length_ratio", "min_margin", "resolution", "headroom")
    }
    counts = {
        name: np.ones(count, np.int32)
        for name in ("segments", "checked", "samples", "levels", "source_class", "end_class")
    }
    return RegionPaths(
        verdict=np.where(found, "path found", "not found"),
        status=np.array(status),
        anchors=np.zeros((2 * count, 1, 4, 4)),
        owner=np.repeat(np.arange(count), 2),
        anchor_margin=np.ones(2 * count),
        **numbers,
        **counts,
        num_classes=5,
        seed=0,
        **COST,
    )


def of(name: str, good: bool, scale: float = math.nan) -> MeasuredCurvature:
    """A model of which every claim holds, or none."""
    few, many = (9.0, -8.0) + (0.01,) * 40, (1.0, 0.9, -0.8, 0.7, -0.6, 0.9)
    return MeasuredCurvature(
        name=name,
        summary=a_summary(few if good else many),
        sharing=a_sharing(*((8.0, 2.0) if good else (8.0, 8.0))),
        shared=noise_along(
            "shared", curved=0.8 if good else 0.2, scrambled=0.4, all_of_space=0.2, convex=0.5, concave=0.1
        ),
        own=noise_along("own", convex=0.9 if good else 0.1, concave=0.1, curved=0.5, flat=0.1, random=0.2),
        overshoot=an_exhibit(("overshoot",) * 2, -0.2 if good else 0.2, 0.9 if good else 0.55, 1.0 if good else 0.5),
        attacked=an_exhibit(("projected gradient", "shortest"), -0.2, 0.5, 0.5),
        every=an_exhibit(("overshoot",), -0.2, 0.5, 0.5),
        paths={
            kind: some_paths(("straight", "bent") if good or kind != PAIRS[2] else ("straight", "stalled"))
            for kind in PAIRS
        },
        num_classes=5,
        scale=scale,
    )


CLAIMS = (
    curvature._flat,
    curvature._convex,
    curvature._shared,
    curvature._fragile,
    curvature._universal,
    curvature._detected,
    curvature._recovered,
    curvature._connected,
)


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_hold_for_the_good_seed_alone_and_never_for_the_null(claim: Any) -> None:
    found = claim([of("photos/standard", True), of("photos/standard-1", False), of("photos/untrained", True)])
    assert found.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert all(entry.holds is None for entry in found.evidence if entry.model == "photos/untrained")
    assert {entry.model for entry in found.evidence} >= {"photos/untrained"}
    assert "Verdict" in found.text()
    json.dumps(plain([found]), allow_nan=False)


def test_a_side_is_asked_for_or_not() -> None:
    good, bad = of("photos/standard", True), of("photos/standard-1", False)
    turned = replace(bad, overshoot=an_exhibit(("overshoot",), 0.2, 0.2, 1.0))  # the other sign, as clear
    for claim in (curvature._convex, curvature._detected):
        found = claim([good, turned])
        assert found.verdict == "holds for 1 of 2 seeds of photos/standard"
        either = curvature._either_side(found, "There is a side.")
        assert either.verdict == "holds for 2 of 2 seeds of photos/standard"
        assert either.statement == "There is a side."
    balanced = replace(bad, overshoot=an_exhibit(("overshoot",), 0.2, 0.5, 1.0))
    assert "1 of 2" in curvature._either_side(curvature._detected([good, balanced]), "").verdict


def test_a_network_of_kinks_must_hold_at_both_scales() -> None:
    for second, words in ((True, "holds"), (False, "does not hold")):
        models = [of("photos/relu", True, 0.2), of("photos/relu", second, 1.1)]
        found = curvature._flat(models)
        assert found.verdict == f"{words} for photos/relu (one model)"
        assert {entry.quantity.partition("h = ")[2] for entry in found.evidence} == {"0.2 ℓ2", "1.1 ℓ2"}


def test_numbers_of_known_results() -> None:
    flat = curvature._flat([of("photos/standard", True)])
    assert flat.evidence[0].value == pytest.approx(40 / 42)
    # participation (17 + 0.4)² / (81 + 64 + 40e-4) of 42
    assert flat.evidence[2].value == pytest.approx(17.4**2 / 145.004 / 42)
    semicircle = np.linalg.eigvalsh((lambda a: a + a.T)(np.random.default_rng(0).standard_normal((600, 600))))
    size = np.abs(semicircle)
    assert size.sum() ** 2 / (size**2).sum() / 600 == pytest.approx(flat.evidence[2].control, rel=0.02)
    assert (size < 0.05 * size.max()).mean() == pytest.approx(flat.evidence[1].control, abs=0.01)
    made = curvature._convex([of("photos/standard", True)])
    assert made.evidence[0].value == 1
    assert made.evidence[1].value == pytest.approx(-8 / 9.4)
    missed = curvature._connected([of("photos/standard", False)])
    assert missed.evidence[4].value == 0.5
    assert "stalled" in missed.evidence[4].quantity
    unknown = replace(of("photos/standard", True), paths={})
    assert math.isnan(curvature._connected([unknown]).evidence[0].value)
    assert curvature._recovered([unknown]).evidence[0].control == 1 / 4


def test_densities_by_quadrature_are_those_of_full_spectra() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:1]
    quick, full = spectra(classifier, images, None, 0), curvature_profile(classifier, images, "all")
    np.testing.assert_allclose(quick.flat_fraction, full.flat_fraction, atol=0.02)
    np.testing.assert_allclose(quick.participation, full.participation, rtol=0.2)
    np.testing.assert_allclose(quick.curvatures[:, 0], full.curvatures[:, 0], rtol=0.05)
    assert quick.dimension == full.dimension == 1023


def test_pairs_of_one_predicted_class_are_connected() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:60]
    found = connected(classifier, images, 4, 0)
    assert tuple(found) == PAIRS
    for paths in found.values():
        assert len(paths.verdict) == 4
        np.testing.assert_array_equal(paths.source_class, paths.end_class)
    alone = images[torch.as_tensor(classifier.predict(images).label == 3)][:1]
    assert tuple(connected(classifier, alone, 4, 0)) == (PAIRS[2],)


def test_on_a_demo_model_all_numbers_are_there() -> None:
    heard: list[float] = []
    found = list(
        claims_about(
            "curvature",
            ["demo:digits/lowpass"],
            device="cpu",
            count=3,
            on_progress=lambda part, partial=None: heard.append(part),
        )
    )
    assert len(found) == len(CLAIMS) + 2
    assert heard == [1]
    for claim in found:
        assert "digits/lowpass" in claim.verdict
        assert math.isfinite(claim.evidence[0].value)
    with pytest.raises(ValueError, match="expected demo models"):
        list(claims_about("curvature", ["net"]))
