"""Claims about margins on results whose verdicts are known, and on a demo model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from core.geometry.subspaces.subspace_distances import SubspaceDistances
from core.reproduce import claims_about, margins
from core.reproduce.demo import DemoModel, partners
from core.reproduce.margins import Measured

COUNT = 40


def of(name: str, medians: Sequence[float], corrupted: float = 0.5, attacked: float = 0.5) -> Measured:
    """A model with these median distances, each image 10 % around them."""
    spread = np.random.default_rng(len(name)).uniform(0.9, 1.1, (COUNT, 1))
    windows = len(medians)
    found = SubspaceDistances(
        distance=spread * np.array(medians),
        isotropic=np.ones((COUNT, windows)),
        target_class=np.ones((COUNT, windows), np.int32),
        outcome=np.zeros((COUNT, windows), np.int8),
        angle=np.zeros((COUNT, windows)),
        outside=np.zeros((COUNT, windows)),
        steps=np.ones((COUNT, windows), np.int32),
        full_distance=np.ones(COUNT),
        source_class=np.zeros(COUNT, np.int32),
        label=np.zeros(COUNT, np.int32),
        row=np.arange(COUNT, dtype=np.int32),
        perturbation=np.zeros((0, windows, 1, 32, 32)),
        dimension=np.full(windows, 64),
        bounds=np.zeros((windows, 4), np.int32),
        labels=tuple(f"window {place}" for place in range(windows)),
        kind="windows",
        complete=False,
        num_classes=2,
        forwards=0,
        gradients=0,
        seconds=0.0,
    )
    rank = (np.arange(COUNT) + 0.5) / COUNT
    return Measured(name, found, np.full(COUNT, corrupted), rank < attacked)


def test_rising_curves_hold_and_flat_ones_do_not() -> None:
    claim = margins._rise([of("photos/standard", (1, 2, 3)), of("photos/standard-1", (1, 1, 1.0))])
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert claim.evidence[0].value == pytest.approx(3)
    untrained = margins._rise([of("photos/untrained", (1, 2, 3))])
    assert untrained.verdict.startswith("no verdict")


def test_adversarial_training_lifts_the_high_end_or_not() -> None:
    plain = [of("digits/standard", (1, 2)), of("digits/standard-1", (1, 2))]
    strong = [of("digits/adversarial", (2, 20)), of("digits/adversarial-1", (3, 6)), of("digits/adversarial-2", (1, 9))]
    claim = margins._lift(partners([*plain, *strong], "adversarial", "standard"))
    assert claim.verdict == "holds for 1 of 2 seeds of digits/adversarial"  # the third has no partner
    assert claim.evidence[0].value == pytest.approx(5, rel=0.1)
    assert partners(plain, "adversarial", "standard") == []


def test_what_was_removed_is_compared_with_the_standard_model() -> None:
    plain = of("digits/standard", (1, 2, 2))
    good, bad = of("digits/lowpass", (1, 9, 9)), of("digits/lowpass", (2, 4, 4))
    for model, words in ((good, "holds"), (bad, "does not hold")):
        claim = margins._removed(margins._beside_standard([plain, model], "digits/lowpass"))
        assert claim.verdict == f"{words} for digits/lowpass (one model)"
    assert margins._beside_standard([plain], "digits/lowpass") == []


def test_a_mirrored_curve_is_told_from_the_same_one() -> None:
    plain = of("digits/standard", (1, 2, 4))
    mirrored = margins._mirrored([(of("digits/flipped", (2, 1, 0.5)), plain)])
    same = margins._mirrored([(of("digits/flipped", (1, 2, 4)), plain)])
    assert mirrored.verdict == "holds for digits/flipped (one model)"
    assert mirrored.evidence[0].value == pytest.approx(0, abs=0.05)
    assert same.verdict == "does not hold for digits/flipped (one model)"


def test_prime_is_compared_with_the_model_of_the_same_seed() -> None:
    models = [
        of("photos/standard", (1,), corrupted=0.5),
        of("photos/standard-1", (1,), corrupted=0.7),
        of("photos/adversarial", (1,), corrupted=0.9, attacked=0.9),
        of("photos/prime", (1,), corrupted=0.6, attacked=0.2),
        of("photos/prime-1", (1,), corrupted=0.6, attacked=0.2),
    ]
    endures = margins._endures(
        pair for against in ("standard", "adversarial") for pair in partners(models, "prime", against)
    )
    assert endures.verdict == "holds for 1 of 2 seeds of photos/prime"
    assert [entry.holds for entry in endures.evidence] == [True, False, None]
    not_robust = margins._not_robust(partners(models, "prime", "adversarial"))
    assert not_robust.evidence[0].value == pytest.approx(0.7)
    assert not_robust.verdict == "holds for photos/prime (one model)"


def test_on_a_demo_model_all_numbers_are_there() -> None:
    heard: list[float] = []
    found = list(
        claims_about(
            "margins",
            ["demo:photos/standard"],
            device="cpu",
            count=3,
            on_progress=lambda part, partial=None: heard.append(part),
        )
    )
    assert [claim.statement.split(":")[0].split(" ")[0] for claim in found] == ["Margins", "Moving"]
    assert heard[-1] == 1
    assert found[0].evidence[0].value > 1
    again = margins.measure(DemoModel.load("demo:photos/standard", "cpu"), 3, 0)
    assert again.margins.distance.shape == (3, 4)
    assert again.corrupted.shape == again.attacked.shape == (18,)
    assert 0.3 < again.corrupted.mean() < 1


def test_only_demo_models_are_taken() -> None:
    with pytest.raises(ValueError, match="expected demo models, such as demo:photos/standard, got net"):
        list(claims_about("margins", ["net"]))
