"""Verdicts count seeds, numbers are printed with their controls, and JSON has no NaN."""

from __future__ import annotations

import json
import math
from importlib import import_module

import pytest

from core.reproduce import TABLE, Claim, Evidence, claims_about
from core.reproduce.report import plain


def evidence(model: str, holds: bool | None, value: float = 0.5) -> Evidence:
    return Evidence(
        model=model,
        quantity="overlap (IoU)",
        value=value,
        interval=(0.4, 0.6),
        control=0.02,
        control_name="chance",
        holds=holds,
    )


def claim(*entries: Evidence) -> Claim:
    return Claim(statement="Supports overlap with saliency.", reference="arXiv 2209.02408", evidence=entries)


def test_a_verdict_counts_the_seeds_of_each_family() -> None:
    made = claim(evidence("a/x", True), evidence("a/x-1", False), evidence("a/x-2", True), evidence("b/x", False))
    assert made.verdict == "holds for 2 of 3 seeds of a/x; does not hold for b/x (one model)"


def test_a_model_must_pass_everywhere() -> None:
    assert claim(evidence("a/x", True), evidence("a/x", False)).verdict == "does not hold for a/x (one model)"


def test_numbers_alone_have_no_verdict() -> None:
    assert claim(evidence("a/x", None)).verdict.startswith("no verdict")


def test_the_text_holds_number_interval_control_and_verdict() -> None:
    text = claim(evidence("a/x", True), evidence("a/x-1", False, math.nan)).text()
    assert "0.5 [0.4, 0.6]" in text
    assert "control 0.02: chance" in text
    assert "not measured" in text
    assert "Verdict: holds for 1 of 2 seeds of a/x." in text


def test_json_has_no_nan() -> None:
    written = json.dumps(plain([claim(evidence("a/x", None, math.nan))]), allow_nan=False)
    assert json.loads(written)[0]["evidence"][0]["value"] is None


def test_every_topic_has_a_module_and_others_are_refused() -> None:
    for topic in TABLE:
        module = import_module(f"core.reproduce.{topic.replace('-', '_')}")
        assert callable(module.claims)
        assert module.COUNT > 1
    with pytest.raises(ValueError, match="expected a topic out of"):
        next(claims_about("everything", ["demo:photos/standard"]))
