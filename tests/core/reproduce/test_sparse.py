"""Claims about sparse perturbations: every number has its control, and the verdict follows from both."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from core.reproduce import claims_about
from core.reproduce.report import plain
from core.reproduce.sparse import Measured, _beside_standard, _little_help, _some_of
from tests.perturbations import a_perturbation


def test_the_claims_of_one_demo_model_have_controls_and_verdicts() -> None:
    told: list[float] = []
    found = list(
        claims_about(
            "sparse",
            ["demo:digits/standard"],
            device="cpu",
            on_progress=lambda part, partial=None: told.append(part),
            count=11,
        )
    )
    assert len(found) == 6  # nothing between models, and nothing about adversarial training
    for claim in found:
        assert claim.text()
        for entry in claim.evidence:
            assert entry.model == "digits/standard"
            assert entry.control is not None
            assert entry.control_name
        assert "digits/standard" in claim.verdict
    assert json.dumps(plain(found), allow_nan=False)
    few = found[0].evidence[0]
    assert few.control == 1024
    assert few.holds is (few.value < 0.05 * 1024)
    assert told[-1] == 1


def test_only_demo_models_are_asked() -> None:
    with pytest.raises(ValueError, match="expected demo models, such as demo:photos/standard, got timm:resnet50"):
        next(claims_about("sparse", ["timm:resnet50"]))
    with pytest.raises(ValueError, match="got none"):
        next(claims_about("sparse", []))


def measured(name: str, sizes: list[int]) -> Measured:
    """A model whose perturbations have these numbers of pixels; 0 for one not found."""
    support = np.zeros((len(sizes), 6, 6), bool)
    for row, size in enumerate(sizes):
        support[row].flat[:size] = True
    found = a_perturbation(support, [0] * len(sizes), [1] * len(sizes))
    nothing: Any = None
    return Measured(name=name, classifier=nothing, images=nothing, supports=nothing, orders={"pixel": found})


def test_adversarial_training_is_compared_with_the_standard_seeds() -> None:
    standard = [measured("photos/standard", [2, 2, 4]), measured("photos/standard-1", [3, 4, 4])]
    strong = [measured("photos/adversarial", [5, 7, 9]), measured("photos/adversarial-1", [8] * 3)]
    claim = _little_help(_beside_standard([*standard, *strong]))
    assert [entry.control for entry in claim.evidence] == [4.0, 4.0]
    assert [entry.value for entry in claim.evidence] == [7.0, 8.0]
    assert claim.verdict == "holds for 1 of 2 seeds of photos/adversarial"
    alone = _little_help(_beside_standard([measured("photos/adversarial", [0, 0, 5])]))
    assert math.isnan(alone.evidence[0].value)  # half of the images were not flipped at all
    assert "no verdict" in alone.verdict


def test_models_are_taken_by_turns_from_the_trainings() -> None:
    names = ["a/x", "a/x-1", "a/x-2", "a/y", "a/y-1"]
    assert [one.name for one in _some_of([measured(name, [1]) for name in names])] == ["a/x", "a/y", "a/x-1", "a/y-1"]
    assert _some_of([]) == []
