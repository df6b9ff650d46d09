"""Claims about limits: what is proved holds, what is measured is graded, and strangers are refused."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from core.reproduce import claims_about, limits
from core.reproduce.demo import Study
from core.reproduce.report import plain
from core.runtime.progress import silent


def test_what_holds_of_all_classifiers_is_proved_counted_and_graded() -> None:
    study = Study(models=(), device="cpu", on_progress=silent, count=3, seed=0)
    orders, optimal, depth, exact, graded = islice(limits.claims(study), 5)
    assert orders.verdict == "holds for every classifier (one model)"
    by = {entry.quantity.rpartition("%, ")[2]: entry.value for entry in orders.evidence}
    assert by["p = 0, 1 bit"] == pytest.approx(1, abs=0.03)
    assert by["p = 1, 8 bits, by H1"] == pytest.approx(1, abs=0.03)
    assert by["p = 2, 1 bit"] == pytest.approx(0.5, abs=0.03)
    assert not any("does not" in claim.verdict for claim in (optimal, depth, exact, graded))
    assert exact.evidence[0].value == 0
    assert next(entry for entry in graded.evidence if entry.model == "exhibit/sum").value == 1


def test_an_exponent_is_a_slope_of_logarithms() -> None:
    assert limits.exponent((2, 4, 8), (12, 48, 192)) == pytest.approx(2)
    assert limits.largest_half(np.array([9, 3, 4]), 16) == 2


def test_the_claims_about_a_demo_model() -> None:
    told: list[float] = []
    found = list(
        claims_about(
            "limits",
            ["demo:digits/standard"],
            device="cpu",
            on_progress=lambda part, _=None: told.append(part),
            count=3,
        )
    )
    assert len(found) == 10
    assert told == [1.0]
    assert "holds for digits/standard" in found[5].verdict
    assert "holds for digits/standard" in found[7].verdict  # counted
    assert plain(found)[5]["verdict"] == found[5].verdict
    assert all(claim.text() for claim in found)


def test_strangers_are_refused() -> None:
    with pytest.raises(ValueError, match="expected demo models"):
        next(claims_about("limits", ["my.safetensors"]))
