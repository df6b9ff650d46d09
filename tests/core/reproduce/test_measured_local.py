"""Evidence from medians: what is known counts, intervals hold the median, verdicts ask all of the interval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.reproduce.measured_local import Measured, evidence_of, middle

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
    assert np.isnan(middle(np.array([np.nan])))
    assert middle(np.array([1.0, np.nan, 3.0])) == 2.0
