"""The store gives back what was put in, or nothing; and a hit asks no classifier."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import RecipeError
from core.files import atomic_write
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import Store, key_of
from core.runtime.batches import batch_shapes
from tests import truths

SHAPE = (1, 8, 8)


def image_set(seed: int = 0) -> ImageSet:
    pixels = truths.images(5, SHAPE, seed, torch.float32)
    names = tuple(f"image {row}" for row in range(5))
    return ImageSet(pixels, torch.zeros(5, dtype=torch.int64), names, ("only",), "made")


def recipe(**settings: Any) -> Recipe:
    return Recipe.make("slice", models=["m"], images="made", rows=[0, 1, 2], settings={"resolution": 32, **settings})


def model(seed: int = 1) -> Classifier:
    return truths.classifier(truths.NearestCentre(truths.images(3, SHAPE, seed, torch.float32)), SHAPE)


def key(made: Recipe, classifier: Classifier | None = None, images: ImageSet | None = None) -> str:
    classifier = classifier or model()
    return key_of(made, [classifier], images or image_set())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_hit_means_no_forward_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = model()
    first = store.fetch(recipe(), [classifier], image_set())

    def never(*args: object) -> None:
        pytest.fail("a stored slice asked the classifier")

    monkeypatch.setattr(classifier.module, "forward", never)
    other = recipe(shading="entropy", width=183)  # figure settings cost nothing
    again = store.fetch(other, [classifier], image_set())
    assert isinstance(first, Slice)
    assert isinstance(again, Slice)
    np.testing.assert_array_equal(first.label, again.label)
    assert again.forwards == first.forwards
    assert first.recipe == recipe().mapping()
    assert again.recipe == other.mapping()  # not that of whoever computed it


def test_everything_that_changes_the_numbers_changes_the_key() -> None:
    keys = [
        key(recipe()),
        key(recipe(resolution=33)),
        key(recipe(method="full")),
        key(recipe(extent=[0, 1, 0, 1])),
        key(recipe(), model(2)),
        key(recipe(), model().to(dtype=torch.float64)),
        key(recipe(), images=image_set(1)),
        key(replace(recipe(), rows=(0, 1, 3))),
    ]
    assert len(set(keys)) == len(keys)


def test_what_changes_only_the_picture_does_not() -> None:
    assert key(recipe()) == key(recipe(shading="margin", levels="1,2", palette="okabe-ito", font="serif"))


def test_images_that_were_not_chosen_do_not_count() -> None:
    images = image_set()
    assert key(recipe()) == key(recipe(), images=images[[0, 1, 2]])


def test_words_that_stand_in_the_result_count() -> None:
    images = image_set()
    renamed = ImageSet(images.pixels, images.labels, images.names, ("other",), "made")
    assert key(recipe(), images=renamed) != key(recipe())


def test_a_result_of_another_version_is_dropped(store: Store) -> None:
    classifier = model()
    store.fetch(recipe(), [classifier], image_set())
    (path,) = store.folder.glob("*/*.entry")
    data = json.dumps({"kind": "core.geometry.planes.slices.Slice", "fields": {"forwards": 1}})
    buffer = io.BytesIO()
    np.savez(buffer, result=np.array(data))
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    assert store.get(path.stem) is None
    assert not path.exists()


def test_a_store_that_cannot_be_written_costs_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "results")
    assert isinstance(store.fetch(recipe(), [model()], image_set()), Slice)
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("there", [False, True])
def test_nobody_else_can_look_into_it(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(cache))
    before = os.umask(0)
    try:
        if there:  # made by a version that let others in
            (cache / "results" / "ab").mkdir(parents=True)
            (cache / "results" / "ab" / "ab12.entry").write_bytes(b"old")
        Store().fetch(recipe(), [model()], image_set())
        batch_shapes.get("key", lambda size: None, torch.device("cpu"))
    finally:
        os.umask(before)
    found = [cache, *cache.rglob("*")]
    assert {each.stat().st_mode & 0o777 for each in found if each.is_dir()} == {0o700}
    assert {each.stat().st_mode & 0o777 for each in found if each.is_file()} == {0o600}
    assert sum(each.suffix == ".entry" for each in found) == 1 + there
    assert cache / "batch-shapes.json" in found


def test_a_folder_for_everybody_stays_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with atomic_write(tmp_path / "a" / "b", private=tmp_path) as file:
        file.write_text("x")
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_without_a_fingerprint_nothing_is_kept(store: Store) -> None:
    classifier = model()
    classifier.__dict__["fingerprint"] = ""
    assert key(recipe(), classifier) == ""
    store.fetch(recipe(), [classifier], image_set())
    assert not store.folder.exists()


def test_rows_beyond_the_set_are_refused(store: Store) -> None:
    with pytest.raises(RecipeError, match="expected rows below 5, the size of made, got 9"):
        store.fetch(replace(recipe(), rows=(0, 1, 9)), [model()], image_set())


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_a_damaged_entry_is_dropped_and_computed_again(store: Store, damage: bytes | None) -> None:
    classifier = model()
    first = store.fetch(recipe(), [classifier], image_set())
    (path,) = store.folder.glob("*/*.entry")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + b"damaged" if damage is None else damage)
    assert store.get(path.stem) is None
    assert not path.exists()
    again = store.fetch(recipe(), [classifier], image_set())
    np.testing.assert_array_equal(first.label, again.label)  # type: ignore[attr-defined]
    assert path.exists()


def test_the_entry_used_longest_ago_goes_first(tmp_path: Path) -> None:
    classifier = model()
    result = Store(tmp_path / "probe").fetch(recipe(), [classifier], image_set())
    store = Store(tmp_path / "small", most_bytes=int(2.5 * len(result.to_bytes())))
    for age, name in ((300, "aa"), (200, "bb")):
        store.put(name, result)
        path = store.folder / name / f"{name}.entry"
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    assert store.get("aa") is not None  # now bb is the one used longest ago
    store.put("cc", result)
    assert store.get("bb") is None
    assert store.get("aa") is not None
    assert store.get("cc") is not None


def test_what_is_larger_than_the_store_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, most_bytes=10)
    store.fetch(recipe(), [model()], image_set())
    assert list(tmp_path.iterdir()) == []


def _write_many(folder: str, data: bytes) -> None:
    store = Store(Path(folder))
    result = Slice.from_bytes(data)
    for _ in range(20):
        store.put("shared", result)


def test_processes_that_write_the_same_entry_leave_a_whole_one(tmp_path: Path) -> None:
    result = Store(tmp_path / "probe").fetch(recipe(), [model()], image_set())
    folder = tmp_path / "shared"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(folder), result.to_bytes())) for _ in range(3)]
    for writer in writers:
        writer.start()
    store = Store(folder)
    while any(writer.is_alive() for writer in writers):
        found = store.get("shared")
        assert found is None or found.to_bytes() == result.to_bytes()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["shared.entry"]


def _write_for_ever(folder: str, entries: list[bytes], started: Any) -> None:
    store = Store(Path(folder))
    results = [Slice.from_bytes(data) for data in entries]
    store.put("one", results[0])
    started.send(True)
    while True:
        for name, result in zip(("one", "two"), results, strict=True):
            store.put(name, result)


def test_a_process_killed_a_hundred_times_while_it_writes_leaves_whole_entries(tmp_path: Path) -> None:
    fetched = [Store(tmp_path / "probe").fetch(recipe(), [model(seed)], image_set()) for seed in (1, 2)]
    entries = [result.to_bytes() for result in fetched]
    folder = tmp_path / "killed"
    context = multiprocessing.get_context("fork")
    store, found = Store(folder), 0
    for kill in range(100):
        here, there = context.Pipe(duplex=False)
        writer = context.Process(target=_write_for_ever, args=(str(folder), entries, there))
        writer.start()
        assert here.poll(60)
        time.sleep(0.0003 * (kill % 17))
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        for name, data in zip(("one", "two"), entries, strict=True):
            result = store.get(name)
            found += result is not None
            assert result is None or result.to_bytes() == data
    assert found >= 100
    parts = list(folder.glob("*/.*.part"))
    assert parts  # some kills hit a write in the middle
    for part in parts:
        os.utime(part, (0, 0))
    store.put("one", fetched[0])  # whoever writes next takes away what was left
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".entry"}


def test_a_temporary_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    part = tmp_path / "on" / ".one.entry.0123.part"
    part.parent.mkdir()
    part.write_bytes(b"half")
    store.put("two", Store(tmp_path / "probe").fetch(recipe(), [model()], image_set()))
    assert part.exists()


def test_the_demo_slice_is_computed_once(store: Store) -> None:
    made = Recipe.make(
        "slice", models=["demo:photos/standard"], images="demo:photos", rows=[3, 17, 42], settings={"resolution": 64}
    )
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    first = store.fetch(made, [classifier], images)
    again = store.fetch(made, [load_classifier("demo:photos/standard", "cpu")], images)
    assert first.seconds == again.seconds  # the very same computation
