"""Claims about level sets on walks whose verdicts are known, and on two demo models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.geometry.level_sets.image_distances import image_distances
from core.geometry.level_sets.star_likeness import star_likeness
from core.geometry.level_sets.traverse import traverse
from core.images.image_set import ImageSet
from core.reproduce import claims_about, level_sets
from core.reproduce.demo import partners
from core.reproduce.level_sets import DELTAS, LATTICE, Pairs, Walked, pairs_of, triangle_shares
from tests import truths

SHAPE = (1, 12, 12)
SOURCES, SPOTS = 4, 3


def pairs() -> Pairs:
    sources = 0.45 + 0.1 * truths.images(SOURCES, SHAPE, 1, torch.float32)
    targets = truths.images(SOURCES * SPOTS, SHAPE, 2, torch.float32)
    return Pairs(sources, targets, np.repeat(np.arange(SOURCES), SPOTS))


def of(name: str, *, share: float = 1.0, chord: float = 0.9, ratio: float = 0.1, width: float = 2.0) -> Walked:
    """A model on a large ball, with numbers put in by hand that differ a little by source."""
    classifier = truths.classifier(truths.Ball(torch.full(SHAPE, 0.5), 2.0), SHAPE)
    given = pairs()
    starts = given.sources[torch.from_numpy(given.owner)]
    paths = traverse(classifier, starts, given.targets, "paper", 0.2, 5, keep=0)
    ends = torch.from_numpy(paths.endpoints)
    star = star_likeness(classifier, given.sources, ends, torch.from_numpy(given.owner), delta=0.2, points=3)
    spread = np.linspace(-0.004, 0.004, SOURCES)
    left = paths.distance.copy()
    left[np.arange(len(left)), paths.taken] = ratio * left[:, 0]
    return Walked(
        name=name,
        classifier=classifier,
        pairs=given,
        scale=1.0,
        paths=replace(paths, distance=left),
        distances=image_distances(ends, given.targets, starts),
        star=replace(
            star,
            share=share - 0.01 + spread,
            spoke_least=np.full(len(star.spoke_least), 0.95),
            chord_least=chord + np.repeat(spread, len(star.chord_least) // SOURCES),
        ),
        straight=np.zeros(len(ends), bool),
        shares={delta: 0.5 + delta + spread for delta in DELTAS},
        width=width + spread,
        width_at_source=np.ones(SOURCES),
    )


def test_ends_are_near_or_not() -> None:
    claim = level_sets._near([of("photos/standard"), of("photos/standard-1", ratio=0.4), of("photos/untrained")])
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert claim.evidence[0].value == pytest.approx(0.1, rel=1e-5)
    assert claim.evidence[0].control == pytest.approx(np.median(of("photos/standard").paths.floor))


def test_straight_ways_are_counted_and_compared_with_those_to_the_targets() -> None:
    models = [of("digits/relu"), of("digits/vit", share=0.8), of("digits/untrained")]
    claim = level_sets._linear(models)
    assert claim.verdict == "holds for digits/relu (one model); does not hold for digits/vit (one model)"
    trivial = level_sets._linear([replace(models[0], straight=np.ones(SOURCES * SPOTS, bool))])
    assert trivial.verdict == "does not hold for digits/relu (one model)"  # where every way stays, none is special


def test_a_gap_has_to_be_clear_and_only_usual_models_decide() -> None:
    models = [of("photos/standard", chord=0.7), of("photos/standard-1", chord=0.93), of("photos/prime", chord=0.2)]
    claim = level_sets._not_convex(models)
    assert claim.verdict == "holds for 1 of 2 seeds of photos/standard"
    assert "gap 0.250" in claim.evidence[0].quantity
    assert "0.50 within 0, 0.60 within 0.1, 0.80 within 0.3" in claim.evidence[1].quantity
    assert claim.evidence[1].value == pytest.approx(0.7)


def test_triangles_are_compared_at_equal_reach() -> None:
    strong, plain = of("digits/adversarial"), of("digits/standard")
    starts = plain.pairs.sources[torch.from_numpy(plain.pairs.owner)]
    ends = torch.from_numpy(plain.paths.endpoints)
    short = replace(strong, paths=replace(strong.paths, endpoints=torch.lerp(starts, ends, 0.5).numpy()))
    cut = level_sets._shortened(plain, short)
    torch.testing.assert_close(cut, torch.lerp(starts, ends, 0.5), atol=1e-6, rtol=0)
    torch.testing.assert_close(level_sets._shortened(short, plain), torch.lerp(starts, ends, 0.5), atol=1e-6, rtol=0)
    claim = level_sets._under_sensitive([(short, plain)])
    assert claim.verdict == "does not hold for digits/adversarial (one model)"  # one ball: equal reach, equal shares
    assert claim.evidence[0].value == pytest.approx(claim.evidence[0].control)
    assert "trained against up to 2" in claim.evidence[3].quantity
    assert partners([plain], "adversarial", "standard") == []


def test_widths_decide_between_partners_only() -> None:
    plain, strong = of("photos/standard"), of("photos/adversarial", width=3.0)
    claim = level_sets._wider(partners([plain, strong], "adversarial", "standard"))
    assert claim.verdict == "holds for photos/adversarial (one model)"
    assert level_sets._width([plain, strong]).verdict.startswith("no verdict")


def test_shares_of_triangles_by_source_are_those_of_the_lattice() -> None:
    given = pairs()
    far = truths.classifier(truths.Ball(torch.full(SHAPE, 0.5), 50.0), SHAPE)
    everywhere = triangle_shares(far, given, given.targets, 1.0)
    np.testing.assert_allclose([everywhere[delta] for delta in (0.1, 0.2, 0.3)], 1.0)
    near = truths.classifier(truths.Ball(torch.full(SHAPE, 0.5), 0.0), SHAPE)  # only the source's corner
    shares = triangle_shares(near, given, given.targets + 100.0, 1.0)
    points = (LATTICE + 1) * (LATTICE + 2) // 2
    np.testing.assert_allclose(shares[0.1], 1.0 if near.predict(given.sources).label[0] == 1 else 1 / points)


def test_pairs_are_of_images_that_all_models_are_sure_of() -> None:
    centres = truths.images(6, SHAPE, 3, torch.float32)
    images = ImageSet(centres, torch.arange(6) % 3, tuple("abcdef"), ("x", "y", "z"), "made")
    means = torch.stack([centres[k] + centres[k + 3] for k in range(3)]).flatten(1)
    weight = 30 * (means - means.mean(0))
    classifier = truths.classifier(truths.Affine(weight, torch.zeros(3)), SHAPE)
    said = classifier.predict(images.pixels)
    sure = (said.label == images.labels.numpy()) & (said.probabilities.max(1) > 0.6)
    found = pairs_of([classifier], images, 3, 2, 0)
    rows = [int((images.pixels == image).flatten(1).all(1).nonzero()) for image in [*found.sources, *found.targets]]
    assert sure[rows].all()
    sources, targets = rows[: len(found.sources)], rows[len(found.sources) :]
    assert all(sources[o] % 3 != target % 3 for o, target in zip(found.owner, targets, strict=True))
    guessing = truths.classifier(truths.Affine(torch.zeros(3, 144), torch.zeros(3)), SHAPE)
    with pytest.raises(ValueError, match="two classes that all models are sure of, got 0"):
        pairs_of([guessing], images, 3, 2, 0)


def test_on_demo_models_all_numbers_are_there() -> None:
    heard: list[float] = []
    models = ["demo:photos/standard", "demo:photos/untrained"]
    found: list[Any] = list(
        claims_about(
            "level-sets", models, device="cpu", count=2, on_progress=lambda part, partial=None: heard.append(part)
        )
    )
    assert len(found) == 3  # the others need an adversarially trained model
    assert heard[-1] == 1
    for claim in found:
        assert {entry.model for entry in claim.evidence} == {"photos/standard", "photos/untrained"}
        assert all(np.isfinite(entry.value) for entry in claim.evidence)
        untrained = [entry.holds for entry in claim.evidence if entry.model == "photos/untrained"]
        assert set(untrained) <= {None}
    with pytest.raises(ValueError, match="expected a model out of standard"):
        next(claims_about("level-sets", ["demo:photos/untrained"]))
