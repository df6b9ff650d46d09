"""Images are brought, shown as the model sees them, used and deleted; nobody else can name them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.runtime.scriptrunner import StopException
from streamlit.testing.v1 import AppTest

from core.errors import ImageError
from core.images.archives import Refused
from core.images.load import load_images
from core.sources.images import ImageSource
from dashboard.state import uploader
from dashboard.uploads import own_images, session_uploads
from dashboard.uploads.session_uploads import Uploads
from tests.hostile_images import archive, encoded, png
from tests.pages import healthy

Settle = Callable[..., AppTest]


@pytest.fixture
def app(dashboard: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AppTest:
    """The images view, in a session that brought nothing."""
    monkeypatch.setattr(session_uploads.tempfile, "tempdir", str(tmp_path))
    return dashboard.switch_page("views/images.py").run()


def drop(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    place = next(each for each in app.file_uploader if each.label.startswith("Pictures"))
    place.set_value([(name, content, "application/octet-stream") for name, content in files])
    return app.run()


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "boundary-atlas-uploads" in str(path)]


def shade(value: int, width: int = 40) -> bytes:
    noise = np.random.default_rng(value).integers(0, 40, (36, width, 3), dtype=np.uint8)
    return encoded(values=noise + np.uint8(value))


def listed(app: AppTest) -> dict[str, str]:
    """Files that were left out, and why."""
    lines = [line for each in app.markdown if each.value.startswith("- **") for line in each.value.splitlines()]
    plain = [line.replace("\\", "").replace("\u2060", "").removeprefix("- **") for line in lines]
    return dict(line.split("**: ", 1) for line in plain)


def test_a_zip_is_read_shown_used_and_deleted(app: AppTest, settle: Settle, tmp_path: Path) -> None:
    good = {f"{word}/{n}.png": shade(20 * n + at, 60) for word, at in (("dog", 9), ("cat", 0)) for n in (1, 2, 3)}
    healthy(drop(app, ("pets.zip", archive({**good, "cat/bomb.png": png(60_000, 60_000), "../out.png": shade(1)}))))
    (notes,) = (element.value for element in app.dataframe)
    refused = listed(app)
    assert list(refused) == ["../out.png", "cat/bomb.png"]
    assert "points outside" in refused["../out.png"]
    assert "at most 50 million pixels" in refused["cat/bomb.png"]
    assert list(notes["file"]) == sorted(good)
    assert set(notes["done"]) == {"cut to the middle 36 x 36, resized to 32 x 32"}
    assert set(notes["kept"]) == {"middle 60%"}
    assert len(app.get("image")) == 12  # as they came, and as the model sees them
    captions = [each.value.replace("\\", "") for each in app.caption]
    (first,) = [each for each in captions if each.startswith("1.png")][:1]
    assert first.endswith("60 x 36 RGB, PNG; cut to the middle 36 x 36, resized to 32 x 32")
    assert app.session_state["images:labels"] == "none"  # cats and dogs are none of the demo model's classes
    (kept,) = left(tmp_path)
    assert kept.stat().st_mode & 0o777 == 0o600
    app.segmented_control(key="images:fit").set_value("stretch")
    healthy(app.run())
    assert set(app.dataframe[0].value["done"]) == {"resized to 32 x 32"}
    healthy(app.button(key="images:use").click().run())
    assert app.title[0].value == "Slices"
    said = ImageSource.parse(app.session_state["images"])
    assert (said.kind, said.fit.height, said.fit.how, said.labelled) == ("upload", 32, "stretch", False)
    assert app.session_state["rows"] == (0, 2, 5)
    app.session_state["settings:slice"] = {"resolution": 64}
    app.switch_page("views/slices.py")
    healthy(settle(app))
    assert app.query_params["images"] == said.text()
    app.switch_page("views/images.py")
    healthy(app.run())
    healthy(app.button(key="images:delete:0").click().run())
    assert app.session_state["images"] == "demo:photos"
    assert left(tmp_path) == []


def test_several_files_are_kept_as_one(app: AppTest, tmp_path: Path) -> None:
    table = ("labels.csv", b"a.png,8\nb.png,0\n")
    files = [("b.png", shade(9)), ("a.png", shade(7)), table]
    healthy(drop(app, *files))
    assert list(app.dataframe[0].value["file"]) == ["a.png", "b.png"]
    assert app.session_state["images:labels"] == "as in the files"
    (kept,) = left(tmp_path)
    assert own_images.bundle(list(reversed(files)))[1] == kept.read_bytes()
    healthy(app.button(key="images:use").click().run())
    assert app.session_state["settings:slice"]["plane"] == "directions"  # two images span no plane


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bomb.png", png(60_000, 60_000), "at most 50 million pixels"),
        ("page.jpg", b"<html>", "could not read page.jpg"),
        ("none.zip", archive({"run.py": b"1"}), "run.py is neither; known endings are"),
        ("set.npz", archive({"a.npy": b"1"}), "could not read the header"),
    ],
)
def test_what_is_refused_is_told_and_deleted(
    app: AppTest, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    drop(app, (name, content))
    assert not app.exception
    (said,) = [element.value.replace("\\", "") for element in app.error]
    assert message in said
    assert said.startswith("expected")
    assert left(tmp_path) == []


def test_what_the_server_did_not_take_is_said_until_the_next_drop(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [[Refused("big_1.png", "expected a file of at most 1 MB, got a larger one")], []]
    monkeypatch.setattr(uploader, "refused_uploads", lambda: refused.pop(0))
    drop(app, ("a.png", shade(1)), ("b.png", shade(2)))
    (said,) = [each.value for each in app.warning]
    assert said.replace("\\", "").startswith("1 left out. big_1.png: expected a file of at most 1 MB")
    drop(app, ("a.png", shade(1)), ("b.png", shade(2)))
    assert [each.value for each in app.warning] == []


def test_a_refusal_does_not_stay_beside_another_set(app: AppTest) -> None:
    healthy(drop(app, ("a.zip", archive({f"{n}.png": shade(n) for n in range(3)}))))
    healthy(app.button(key="images:use").click().run())
    app.switch_page("views/images.py")
    app.run()
    assert len(drop(app, ("page.jpg", b"<html>")).error) == 1
    healthy(app.button(key="images:look:0").click().run())
    assert not app.error


def test_pairs_are_counted_and_test_the_detector(app: AppTest, settle: Settle) -> None:
    buffer = io.BytesIO()
    photos = load_images("demo:photos")
    clean = photos.pixels[[3, 17, 42]].numpy()  # and other pictures as if they were their partners
    np.savez(
        buffer, clean=clean, adversarial=photos.pixels[[17, 43, 60]].numpy(), labels=photos.labels[[3, 17, 42]].numpy()
    )
    healthy(drop(app, ("attack.npz", buffer.getvalue())))
    assert len(app.dataframe[0].value) == 6
    assert app.session_state["images:labels"] == "as in the files"
    healthy(app.button(key="images:use").click().run())
    app.session_state["settings:detector"] = {"probes": 2, "classes": 0, "overshoots": (1.1,)}
    app.switch_page("views/detector.py")
    healthy(settle(app))
    app.segmented_control(key="detector:perturbed_by").set_value("pairs")
    healthy(settle(app))
    words = " ".join(element.proto.body for element in app.get("html"))
    assert "<span>class changed</span><b>67%</b>" in words
    assert "AUC by the nearest boundary" in words
    assert any("photos/standard 2 of 3" in caption.value for caption in app.caption)
    assert app.query_params["perturbed_by"] == "pairs"


def test_another_model_sees_the_same_files_at_its_size(app: AppTest, settle: Settle) -> None:
    healthy(drop(app, ("a.zip", archive({f"{n}.png": shade(n) for n in range(3)}))))
    healthy(app.button(key="images:use").click().run())
    app.session_state["settings:slice"] = {"resolution": 64}
    app.query_params["models"] = "demo:digits/standard"
    app.switch_page("views/slices.py")
    app.query_params["models"] = "demo:digits/standard"
    app.query_params["resolution"] = "64"
    settle(app)
    assert not app.exception


def test_a_link_asks_for_its_file(app: AppTest, settle: Settle) -> None:
    content = archive({f"{n}.png": shade(n) for n in range(3)})
    kept = Uploads()
    digest = kept.add([("a.zip", content)]).digest
    kept.close()
    source = f"upload:{digest}?size=32&channels=3"
    app.switch_page("views/slices.py")
    for name, value in {"images": source, "rows": "0,1,2", "resolution": "64"}.items():
        app.query_params[name] = value
    settle(app)
    (said,) = [element.value for element in app.error]
    assert f"whose digest begins with {digest[:8]}, it is not here" in said
    assert app.session_state["images"] == "demo:photos"
    app.file_uploader[0].set_value([("a.zip", content, "")])
    healthy(settle(app))
    assert app.session_state["images"] == source
    assert app.query_params["images"] == source


def test_a_session_that_is_gone_takes_its_images_along(app: AppTest, settle: Settle, tmp_path: Path) -> None:
    content = archive({f"{n}.png": shade(n) for n in range(4)})
    healthy(drop(app, ("a.zip", content)))
    healthy(app.button(key="images:use").click().run())
    assert len(left(tmp_path)) == 1
    app.session_state["rows"] = (1, 2, 3)
    before = (app.session_state["images"], (1, 2, 3))
    clear_session_resource_cache("test session id")  # what Streamlit does when a connection ends
    assert left(tmp_path) == []
    app.switch_page("views/home.py")
    app.run()
    assert not app.exception
    assert "is no longer here; bring it again: uploads are forgotten when a page is reloaded" in app.error[0].value
    assert app.session_state["images"] == "demo:photos"
    app.file_uploader[0].set_value([("a.zip", content, "")])
    healthy(app.run())
    assert (app.session_state["images"], app.session_state["rows"]) == before  # and all is as it was


def test_what_is_left_out_of_files_and_among_them_is_listed(app: AppTest) -> None:
    table = b"file,class\na.png,cat\nb.png,cat\nz.png,dog\n"
    entries = {"a.png": shade(1), "b.png": shade(2), "c.heic": b"-", "labels.csv": table, "scores.csv": b"a.png,0.5\n"}
    healthy(drop(app, ("set.zip", archive(entries))))
    assert [each.value for each in app.warning] == [
        "Left out: 2 of 4 files. The rest is kept.",
        "Something in the files that are used was left aside, or is not clear.",
    ]
    (notes,) = (element.value for element in app.dataframe)
    refused = listed(app)
    assert list(refused) == ["c.heic", "scores.csv", "labels.csv"]
    assert "c.heic is HEIC, which is not read here; convert it" in refused["c.heic"]
    assert "1 such as 'z.png' name none here" in refused["labels.csv"]
    assert list(notes["file"]) == ["a.png", "b.png"]


def test_reading_tells_how_far_it_is_and_can_be_cancelled(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click on the button ends the script at its next word, in the midst of the reading."""
    told: list[float] = []
    gather = own_images.gather

    def slowly(source: str, *, on_progress: Callable[[float], None], **options: object) -> object:
        if not told:
            told.append(0.5)
            on_progress(0.5)
            raise StopException
        return gather(source, on_progress=on_progress, **options)

    monkeypatch.setattr(own_images, "gather", slowly)
    healthy(drop(app, ("set.zip", archive({"a.png": shade(1), "b.png": shade(2)}))))
    assert [each.label for each in app.button if "cancel" in str(each.key)] == ["Cancel"]
    assert len(left(tmp_path)) == 1
    (button,) = (each for each in app.button if "cancel" in str(each.key))
    healthy(button.click().run())
    assert left(tmp_path) == []
    assert len(app.dataframe) == 0


def test_a_table_alone_is_no_picture() -> None:
    with pytest.raises(ImageError, match=r"got the table 'labels\.csv' alone; drop it with the pictures it names"):
        own_images.bundle([("labels.csv", b"a.png,1\n")])


def test_files_of_one_name_are_all_kept() -> None:
    files = [("1.png", b"a"), ("2.png", b"b"), ("1.png", b"c"), ("1 (2).png", b"d"), ("1.png", b"a")]
    _, content = own_images.bundle(files)
    assert own_images.bundle(files[::-1])[1] == content
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        found = {name: made.read(name) for name in made.namelist()}
    assert found == {"1 (2).png": b"d", "1.png": b"a", "1 (3).png": b"a", "1 (4).png": b"c", "2.png": b"b"}
    with pytest.raises(ImageError, match=r"expected every name once beside a table, got '1\.png' twice"):
        own_images.bundle([*files, ("labels.csv", b"1.png,cat")])


def test_too_many_files_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_images, "MOST_FILES", 2)
    with pytest.raises(ImageError, match="expected 1 to 2 files at once, got 3; pack them into a zip"):
        own_images.bundle([(f"{n}.png", b"") for n in range(3)])
    with pytest.raises(ImageError, match=r"expected 'a\.npz' alone, got 1 more files; drop them one after another"):
        own_images.bundle([("a.npz", b""), ("b.png", b"")])


def test_a_server_that_takes_no_uploads(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session_uploads.READ_ONLY, "1")
    healthy(app.run())
    assert [each for each in app.file_uploader if each.label.startswith("Pictures")] == []
    assert "takes no uploads" in app.info[0].value


def test_no_session_can_read_what_another_brought(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(session_uploads.tempfile, "tempdir", str(tmp_path))
    one, other = Uploads(), Uploads()
    digest = one.add([("a.zip", archive({"a.png": shade(1)}))]).digest
    source = f"upload:{digest}?size=8"
    monkeypatch.setattr(own_images, "own_uploads", lambda: one)
    assert own_images.knows(source)
    assert own_images.own_images(source).pixels.shape == (1, 3, 8, 8)
    monkeypatch.setattr(own_images, "own_uploads", lambda: other)
    assert not own_images.knows(source)
    with pytest.raises(ImageError, match="it is not here; upload it on the Images view"):
        own_images.own_images(source)  # though the other session holds it in memory
    for wild in ("/etc/hostname", str(tmp_path), "torchvision:MNIST?root=/", "upload:../../etc/passwd", "upload:"):
        assert not own_images.knows(wild)
        with pytest.raises(ImageError):
            own_images.own_images(wild)
    one.close()
    other.close()
