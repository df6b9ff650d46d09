"""Claims about local properties on numbers whose verdicts are known, and on a demo model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.reproduce import claims_about, local
from core.reproduce.local import Measured, evidence_of


def of(name: str, **changed: Any) -> Measured:
    """A model with the same numbers around each of ten images, a little spread."""
    spread = 1 + np.linspace(-0.01, 0.01, 10)
    column, grid = spread, np.stack([spread] * 3, 1)
    values: dict[str, Any] = {
        "ratio": grid * np.array([0.2, 0.3, 0.5]),
        "gain": np.stack([column] * 4, 1),
        "asymmetry": np.stack([0.5 * column] * 4, 1),
        "radius": 0.5,
        "mantel_raw": 0.03 * column,
        "mantel_linear": 0.03 * column[::-1],
        "mantel_jacobian": 1 - 0.01 * column,
        "mantel_random": 0.03 * column,
        "layers": ("2", "5"),
        "effective": np.stack([100 * column, 3 * column], 1),
        "lipschitz_point": grid * np.array([5.0, 6.0, 5.0]),
        "lipschitz_pairs": grid * 0.5,
        "product": 1000.0,
        "residual": grid * np.array([0.01, 0.1, 0.5]),
        "changed": np.full((10, 3), np.nan),
        "first_kink": np.full(10, np.nan),
    }
    values |= changed
    sweep = {**values, "radius": np.array([0.01, 0.05, 0.5]), "asymmetry": grid * 0.1}
    layers = {name: np.stack([0.3 * column, 0.03 * column], 1) for name in ("mantel_raw", "mantel_linear")}
    steep = values["lipschitz_point"]

    def difference(field: str, kind: int) -> np.ndarray:
        difference: np.ndarray = steep[:, kind] - steep[:, 0]
        return difference[np.isfinite(difference)]

    parts: list[Any] = [
        SimpleNamespace(**values),
        SimpleNamespace(**values),
        SimpleNamespace(**{**values, **layers}),
        SimpleNamespace(**sweep),
        SimpleNamespace(**values, difference=difference),
    ]
    return Measured(name, *parts)


def test_isotropy_is_judged_against_a_random_linear_map() -> None:
    claim = local._isotropy([of("photos/standard"), of("photos/standard-1", ratio=np.full((10, 3), 0.5))])
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert claim.evidence[0].control == pytest.approx(0.5)


def test_a_low_score_does_not_speak_for_a_change_of_topology() -> None:
    same, lower = of("photos/standard"), of("photos/standard-1", mantel_linear=np.full(10, 0.5))
    claim = local._topology([same, lower])
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert claim.evidence[0].holds is None  # a low score alone
    assert all(entry.control is not None for entry in claim.evidence)
    assert "band" not in claim.text()


def test_below_1_is_counted_with_its_unit_and_pairs_beside() -> None:
    steep, flat = of("photos/standard"), of("photos/standard-1", lipschitz_point=np.full((10, 3), 0.9))
    claim = local._steepness([steep, flat])
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert (claim.evidence[0].value, claim.evidence[0].control) == (0, 1)  # by pairs all are below 1
    assert claim.evidence[1].value == 1  # for pixels in [0, 255]
    nobody = np.full((10, 3), np.nan)
    assert len(local._steepness([steep, of("photos/vit", lipschitz_point=nobody)]).evidence) == 3


def test_the_others_have_both_verdicts() -> None:
    model = of("photos/standard")
    assert local._symmetry([model]).verdict.startswith("holds for")
    assert local._symmetry([of("photos/standard", asymmetry=np.full((10, 4), 0.01))]).verdict.startswith("does not")
    assert local._layers([model]).verdict.startswith("holds for")
    assert local._adversarial_steeper([model]).verdict.startswith("holds for")
    flat = of("photos/standard", lipschitz_point=np.ones((10, 3)) + np.linspace(0, 1e-3, 3))
    assert local._adversarial_steeper([replace(model, kinds=flat.kinds)]).verdict.startswith("holds for")
    assert local._affine([model]).verdict.startswith("does not")
    kinked = of("photos/relu", residual=np.full((10, 3), 0.01), changed=np.full((10, 3), 0.1), first_kink=np.ones(10))
    claim = local._affine([kinked])
    assert claim.verdict.startswith("holds for")
    assert len(claim.evidence) == 4


def test_an_untrained_network_stands_beside_without_a_verdict() -> None:
    assert local._isotropy([of("photos/untrained")]).verdict.startswith("no verdict")


def test_on_a_demo_model_all_numbers_are_there() -> None:
    heard: list[float] = []
    found = list(
        claims_about(
            "local",
            ["demo:digits/standard"],
            device="cpu",
            count=4,
            on_progress=lambda part, partial=None: heard.append(part),
        )
    )
    assert len(found) == 7
    assert heard == [1.0]
    assert all(np.isfinite(entry.value) for claim in found for entry in claim.evidence)
    with pytest.raises(ValueError, match="expected demo models"):
        list(claims_about("local", ["net"]))


ONE = Measured("photos/standard", *(None,) * 5)  # type: ignore[arg-type]
NULL = replace(ONE, name="photos/untrained")
VALUES = np.linspace(0.4, 0.6, 41)


def test_the_median_of_what_is_known_stands_in_its_interval() -> None:
    found = evidence_of(ONE, "gain", np.append(VALUES, [np.nan, np.inf]), 0.1, "a control")
    assert found.value == pytest.approx(0.5)
    assert found.interval is not None
    assert found.interval[0] < 0.5 < found.interval[1]
    assert (found.control, found.control_name, found.holds) == (0.1, "a control", None)


@pytest.mark.parametrize(
    ("bound", "holds"),
    [({"above": 0.3}, True), ({"above": 0.5}, False), ({"below": 0.7}, True), ({"below": 0.5}, False)],
)
def test_it_speaks_for_a_claim_only_with_all_of_its_interval(bound: dict[str, Any], holds: bool) -> None:
    assert evidence_of(ONE, "gain", VALUES, None, "", **bound).holds is holds
    assert evidence_of(NULL, "gain", VALUES, None, "", **bound).holds is None  # the null model decides nothing


def test_of_fewer_than_two_numbers_nothing_is_said() -> None:
    found = evidence_of(ONE, "gain", np.array([1.0, np.nan]), None, "")
    assert np.isnan(found.value)
    assert found.holds is None
