"""The demo models: honest data, known sizes, the same bytes each time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from core.images.load import load_images
from core.models import demo
from core.sources.models import ASSETS
from core.training import cards, data, train

TINY = replace(demo.RECIPES["digits/standard"], epochs=1)


@pytest.fixture
def briefly(monkeypatch) -> None:
    """Measure a few images with a short attack."""
    monkeypatch.setattr(cards, "measure", partial(cards.measure, steps=2, count=10))


@pytest.fixture(scope="module")
def digits() -> data.DemoData:
    return data.DATA["digits"]()


def test_jitter_keeps_pixels_in_range_and_mirrors_half() -> None:
    pixels = torch.rand(2000, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    changed = train._jitter(pixels, torch.Generator().manual_seed(1))
    assert changed.min() >= 0
    assert changed.max() <= 1
    ramp = torch.linspace(0.4, 0.6, 4).expand(2000, 3, 4, 4)
    falls = train._jitter(ramp, torch.Generator().manual_seed(1)).diff(dim=3)[:, 0, 0, 0] < 0
    assert 0.45 < falls.float().mean() < 0.55


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_a_number_at_the_end_of_a_name_is_the_seed() -> None:
    assert demo.demo_spec("photos/standard").seed == 0
    assert demo.demo_spec("photos/standard-1") == replace(demo.RECIPES["photos/standard"], seed=1)
    for unknown in ("photos/standard-x", "photos/other", "standard-1", ""):
        with pytest.raises(ValueError, match="expected one of photos/standard, photos/adversarial"):
            demo.demo_spec(unknown)


def test_what_is_shipped() -> None:
    assert demo.SHIPPED[0] == "photos/standard"
    assert len(set(demo.SHIPPED)) == len(demo.SHIPPED) == 24
    for family in ("photos", "digits"):
        for mode in ("standard", "adversarial", "prime"):
            specs = [demo.demo_spec(f"{family}/{mode}{seed}") for seed in ("", "-1", "-2")]
            assert [spec.seed for spec in specs] == [0, 1, 2]
            assert {spec.mode for spec in specs} == {mode}
            assert {spec.data for spec in specs} == {family}
            assert {f"{family}/{mode}{seed}" for seed in ("", "-1", "-2")} <= set(demo.SHIPPED)
    standard, relu = demo.demo_spec("photos/standard"), demo.demo_spec("photos/relu")
    assert replace(relu, arguments=standard.arguments) == standard  # a twin but for its activation
    control = demo.demo_spec("digits/control")
    for name in ("lowpass", "flipped"):
        assert replace(demo.demo_spec(f"digits/{name}"), data="digits") == control
    for spec in demo.RECIPES.values():
        assert spec.mode in train.MODES
        assert spec.data in data.DATA
        assert spec.data in cards.RADII


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    spec = demo.RECIPES["digits/standard"]
    rates = [train._rate(spec, done) for done in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(spec.peak_rate / 25)
    assert np.argmax(rates) == 25
    assert rates[25] == spec.peak_rate
    assert rates[-1] == pytest.approx(0)


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("briefly")
def test_training_twice_gives_the_same_bytes_and_leaves_the_generator_alone(digits, tmp_path) -> None:
    before = torch.random.get_rng_state()
    for file in ("a", "b"):
        classifier = train.train("digits/standard", TINY, digits)
        cards.write_model(tmp_path / f"{file}.safetensors", classifier, TINY, digits)
        torch.rand(1)  # what others draw changes nothing
    torch.random.set_rng_state(before)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    train.train("digits/standard", TINY, digits)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = train.train("digits/standard", replace(TINY, seed=1), digits)
    assert not torch.equal(other.module.state_dict()["0.weight"], classifier.module.state_dict()["0.weight"])


def test_an_epoch_already_helps_and_is_reported(digits) -> None:
    done = []
    classifier = train.train("digits/standard", replace(TINY, epochs=2), digits, lambda f, partial=None: done.append(f))
    images = load_images("demo:digits")
    assert (classifier(images.pixels).argmax(1) == images.labels).float().mean() > 0.7
    assert done == [0.5, 1.0]
    values = digits.epoch(torch.Generator())[0].double() / 255
    assert classifier.mean == pytest.approx((values.mean().item(),), abs=5e-5)
    assert classifier.std == pytest.approx((values.std().item(),), abs=5e-5)


def test_a_mode_sees_the_network_as_it_is_used(digits, monkeypatch) -> None:
    seen = []

    def twice(net, pixels, labels, generator):
        seen.append(torch.allclose(net(pixels)[:1], net(pixels[:1]), atol=1e-5))  # BatchNorm looks at one row only
        return pixels

    monkeypatch.setattr(train, "MODES", {"twice": twice})
    train.train("digits/standard", replace(TINY, mode="twice"), digits)
    assert len(seen) == 21
    assert all(seen)


def test_a_rate_of_nothing_leaves_the_weights_as_drawn_and_lets_batchnorm_see_the_data(digits) -> None:
    first = train.train("digits/untrained", replace(TINY, epochs=0), digits).module.state_dict()
    untrained = train.train("digits/untrained", replace(TINY, peak_rate=0.0), digits)
    for name, tensor in untrained.module.state_dict().items():
        seen = "running" in name or "tracked" in name
        assert torch.equal(tensor, first[name]) != seen
    images = load_images("demo:digits")
    said = untrained(images.pixels).argmax(1)
    assert (said == images.labels).float().mean() < 0.4
    assert len(said.unique()) > 3  # a null model that tells images apart


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(train, "RECIPES", {"digits/standard": TINY})
    monkeypatch.setattr(demo, "RECIPES", {"digits/standard": TINY})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("tiny", "briefly")
def test_the_command_writes_models_cards_and_images(tmp_path: Path, capsys) -> None:
    train.main(["digits/standard", "--seeds", "2", "--out", str(tmp_path), "--threads", "1"])
    written = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
    models = [f"models/digits/standard{end}" for end in ("-1.md", "-1.safetensors", ".md", ".safetensors")]
    assert written == ["images/digits.safetensors", *models]
    assert (tmp_path / "images/digits.safetensors").read_bytes() == (ASSETS / "images/digits.safetensors").read_bytes()
    card = (tmp_path / "models/digits/standard-1.md").read_text(encoding="utf-8")
    assert card.startswith("# digits/standard-1\n")
    assert "33,658" in card
    assert "`python -m core.training.train digits/standard-1 --threads 1` makes it again" in card
    shown = capsys.readouterr()
    assert "100%    0 s left" in shown.err
    assert "of 500 held-out images" in shown.out
    assert "under attack at 2.0" in shown.out


@pytest.mark.usefixtures("tiny")
def test_the_command_refuses_unknown_names(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        train.main(["digits/other", "--out", str(tmp_path)])
    assert "expected one of digits/standard" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
