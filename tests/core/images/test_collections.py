"""Many pictures as one set: folders, zips, tables, arrays and torchvision's data sets on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ImageError
from core.images.collections import gather, previews
from core.images.load import load_images
from core.models.third_party import by_digest, digest_of
from core.sources.images import Fit, ImageSource
from tests.hostile_images import archive, encoded


def shade(value: int) -> bytes:
    """A picture of one grey, in three channels."""
    return encoded(values=np.full((6, 8, 3), value, np.uint8))


PICTURES = {"cat/1.png": shade(10), "cat/2.png": shade(20), "ant/1.png": shade(30)}


@pytest.mark.parametrize("kind", ["npz", "table", "folders"])
def test_a_class_that_the_source_names_is_no_missing_value(tmp_path: Path, kind: str) -> None:
    words = ["none", "a", "1"]
    if kind == "npz":
        np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4, 3), np.uint8), labels=np.array(words))
    else:
        folders = words if kind == "folders" else ["x"] * 3
        entries = {f"{folder}/{row}.png": shade(row) for row, folder in enumerate(folders)}
        rows = "\n".join(f"{row}.png,{word}" for row, word in enumerate(words))
        table = {} if kind == "folders" else {"labels.csv": f"file,class\n{rows}\n".encode()}
        (tmp_path / "a.zip").write_bytes(archive({**entries, **table}))
    found = gather(f"{next(tmp_path.iterdir())}?classes=none/a/1")
    assert sorted(found.images.labels.tolist()) == [0, 1, 2]
    assert found.images.class_names == ("none", "a", "1")


# -- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "upload:ab12?size=32&fit=stretch&channels=3",
        "torchvision:CIFAR10?most=500&root=data/sets&split=test",
        "some folder/with ? sign",
        "photos.zip?size=32x48&classes=big%20cat/dog&labels=none",
    ],
)
def test_sources_survive_the_round_trip(text: str) -> None:
    assert ImageSource.parse(text).text() == text


def test_options_of_a_source_are_applied() -> None:
    said = ImageSource.parse("photos.zip?size=32x48&fit=stretch&channels=1&classes=dog/cat&most=5")
    assert (said.kind, said.place, said.fit) == ("file", "photos.zip", Fit(32, 48, "stretch", 1))
    assert (said.classes, said.most, said.labelled) == (("dog", "cat"), 5, True)
    assert said.changed(size="16", most=None, fit=None).text() == "photos.zip?size=16&channels=1&classes=dog/cat"


@pytest.mark.parametrize(
    "options",
    ["size=0", "size=-4", "size=9999", "size=1e3", "size=3x3x3", "size=٣", "fit=tile", "channels=2", "most=0",
     "most=9e9", "classes=a/a", "colour=red", "size=3&size=4", "size="],
)  # fmt: skip
def test_wild_options_are_refused(options: str) -> None:
    with pytest.raises(ImageError, match="^expected .*; mend the source$"):
        ImageSource.parse(f"upload:ab12?{options}")


# -- zips and folders -------------------------------------------------------------------------------------------------


def test_folders_in_a_zip_are_classes(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({f"top/train/{name}": content for name, content in PICTURES.items()}))
    images = load_images(f"{tmp_path / 'a.zip'}?size=4")
    assert images.class_names == ("ant", "cat")
    assert images.names == ("ant/1.png", "cat/1.png", "cat/2.png")
    assert images.labels.tolist() == [0, 1, 1]
    assert (images.pixels[:, 0, 0, 0] * 255).round().tolist() == [30, 10, 20]
    ordered = load_images(f"{tmp_path / 'a.zip'}?classes=cat/dog/ant")
    assert (ordered.class_names, ordered.labels.tolist()) == (("cat", "dog", "ant"), [2, 0, 0])
    bare = load_images(f"{tmp_path / 'a.zip'}?labels=none&most=2")
    assert (bare.class_names, bare.labels.tolist(), bare.names) == ((), [-1, -1], ("ant/1.png", "cat/2.png"))
    with pytest.raises(ImageError, match="expected classes out of cat, got 'ant'; name it too"):
        load_images(f"{tmp_path / 'a.zip'}?classes=cat")


def test_previews_show_the_original_pictures(tmp_path: Path) -> None:
    wide = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    (tmp_path / "a.zip").write_bytes(archive({**PICTURES, "ant/wide.png": encoded(values=wide)}))
    source = f"{tmp_path / 'a.zip'}?size=2&channels=1&labels=none"
    notes = gather(source).notes
    (whole,) = previews(source, [notes[1]._replace(box=(0.0, 0.0, 8.0, 4.0))])
    np.testing.assert_array_equal(whole, wide.repeat(32, 0).repeat(32, 1))
    with pytest.raises(ImageError, match="expected a picture of a.zip, got 'dog.png'; choose another"):
        previews(source, [notes[0]._replace(name="dog.png")])


def test_a_table_names_the_classes(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number, name in enumerate("abc"):
        (folder / f"{name}.png").write_bytes(shade(number))
    (folder / "labels.csv").write_text("name;class\na.png;7\nb;2\n")
    images = load_images(folder)
    assert images.labels.tolist() == [7, 2, -1]
    assert images.class_names[7] == "class 7"
    (folder / "labels.csv").write_text("a.png,dog\nb.png,cat\n")
    assert load_images(folder).words == ("dog", "cat", "c.png")
    assert load_images(f"{folder}?classes=dog/cat").labels.tolist() == [0, 1, -1]


def test_pictures_that_cannot_be_used_are_reported_and_the_rest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, content in {**PICTURES, "cat/3.png": b"no"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        images = load_images(tmp_path)
    assert len(images) == 3
    assert "left out cat/3.png: expected an image, could not read 3.png" in caplog.text


def test_an_upload_is_found_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(archive(PICTURES))
    source = f"upload:{digest_of([path])}?size=4&channels=3"
    images = load_images(source, uploads=by_digest([path]))
    assert (len(images), images.source) == (3, source)
    for uploads in (None, by_digest([])):
        with pytest.raises(ImageError, match="it is not here; upload it on the Images view, or .* --upload FILE"):
            load_images(source, uploads=uploads)


def test_too_large_sets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(PICTURES))
    assert len(gather(tmp_path / "a.zip", size=4, most_values=3 * 48).images) == 3
    with pytest.raises(ImageError, match=r"got more by 2\.png \(image 3 of 3\); take fewer or a smaller size"):
        gather(tmp_path / "a.zip", size=4, most_values=3 * 48 - 1)


# -- arrays -----------------------------------------------------------------------------------------------------------


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "set.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_arrays_are_read_exactly(tmp_path: Path, first: bool, dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3))
    stored = values / 255 if np.issubdtype(dtype, np.floating) else values
    stored = stored.transpose(0, 3, 1, 2) if first else stored
    images = load_images(npz(tmp_path, x_test=stored.astype(dtype), y_test=np.arange(5)[:, None]))
    assert torch.equal((images.pixels * 255).round(), torch.from_numpy(values).permute(0, 3, 1, 2).float())
    assert images.labels.tolist() == [0, 1, 2, 3, 4]


def test_grey_arrays_names_and_one_hot_labels_are_read(tmp_path: Path) -> None:
    names = np.array(["no", "yes"])
    path = npz(tmp_path, images=np.zeros((3, 5, 5), bool), labels=np.eye(2)[[1, 0, 1]], class_names=names)
    images = load_images(path)
    assert images.pixels.shape == (3, 1, 5, 5)
    assert images.words == ("yes", "no", "yes")
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4, 3), np.float16))
    assert load_images(tmp_path / "a.npy").names == ("image 0", "image 1")


def test_rows_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    values = np.full((4, 4, 4, 3), 0.5, np.float32)
    values[1], values[2] = np.nan, np.inf
    found = gather(npz(tmp_path, images=values, labels=np.arange(4)))
    assert found.images.labels.tolist() == [0, 3]
    assert [name for name, _ in found.refused] == ["image 1", "image 2"]
    assert "NaN or infinity" in found.refused[0].reason


@pytest.mark.parametrize(
    ("clean", "adversarial"), [("clean", "adversarial"), ("x", "x_adv"), ("images", "adv"), ("x_test", "adversarial")]
)
def test_pairs_know_their_partners(tmp_path: Path, clean: str, adversarial: str) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 4, 3, 6, 6), dtype=np.float32)
    other[2, 0, 0, 0] = 1 + 1e-6  # an attack's rounding
    path = npz(tmp_path, **{clean: one, adversarial: other}, y=np.arange(4))
    images = load_images(path)
    assert len(images) == 8
    assert images.partners == (4, 5, 6, 7, 0, 1, 2, 3)
    assert images.labels.tolist() == [0, 1, 2, 3] * 2
    assert torch.equal(images.pixels[:4], torch.from_numpy(one))
    assert torch.equal(images.pixels[4:], torch.from_numpy(other).clamp(max=1))
    assert images[[1, 5, 2]].partners == (1, 0, -1)
    few = load_images(f"{path}?most=2")
    assert (few.names, few.partners) == (
        ("image 0", "image 3", "image 0 adversarial", "image 3 adversarial"),
        (2, 3, 0, 1),
    )


def test_a_refused_partner_is_marked_as_missing(tmp_path: Path) -> None:
    values = np.full((2, 4, 4, 3), 0.5, np.float32)
    bad = values.copy()
    bad[0] = np.nan
    images = load_images(npz(tmp_path, clean=values, adversarial=bad))
    assert (images.names, images.partners) == (("image 0", "image 1", "image 1 adversarial"), (-1, 2, 1))
