"""A model is brought, checked, used and forgotten; nobody else can name it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest

from core.errors import CheckpointError
from core.figures.drawing.provenance import read_recipe
from core.models.registries import untrained
from core.sources.models import Source
from dashboard.uploads import session_uploads
from dashboard.uploads.session_uploads import Uploads
from tests.pages import healthy

ARCHITECTURE = "torchvision:squeezenet1_1"

Settle = Callable[..., AppTest]


@pytest.fixture(scope="module")
def weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": untrained(ARCHITECTURE, 4).state_dict()}, buffer)
    return buffer.getvalue()


@pytest.fixture
def app(dashboard: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AppTest:
    """The model view, in a session that brought nothing."""
    monkeypatch.setattr(session_uploads.tempfile, "tempdir", str(tmp_path))
    return dashboard.switch_page("views/model.py").run()


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    place = next(each for each in app.file_uploader if each.label.startswith("Weights"))
    place.set_value([(name, content, "application/octet-stream")])
    return app.run()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "boundary-atlas-uploads" in str(path)]


def test_a_file_is_read_guessed_shown_used_and_forgotten(
    app: AppTest, settle: Settle, weights: bytes, tmp_path: Path
) -> None:
    healthy(upload(app, "my net.pt", weights))
    assert [element.value for element in app.subheader] == [
        "In the file",
        "Architecture",
        "Preprocessing",
        "Does it work?",
    ]
    assert app.radio(key="model:arch").value == ARCHITECTURE
    assert "all 52 tensors fit, 4 classes" in str(app.radio(key="model:arch").proto)
    (kept,) = files(tmp_path)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.parent.stat().st_mode & 0o777 == 0o700
    app.number_input(key="model:size").set_value(32)
    healthy(app.run())
    app.selectbox(key="model:preset").set_value("half")
    healthy(app.run())
    tables = [element.value for element in app.dataframe]
    assert list(tables[0]["normalisation"])[:2] == ["chosen", "imagenet"]
    assert "second derivatives" in list(tables[1]["check"])
    assert set(tables[1]["verdict"]) <= {"good", "note"}
    healthy(app.button(key="model:use").click().run())
    assert app.title[0].value == "Slices"
    (source,) = app.session_state["models"]
    said = Source.parse(source)
    assert (said.kind, said.options["size"], said.options["preset"]) == ("upload", "32", "half")
    assert app.session_state["images"] == "demo:photos@32"
    app.session_state["settings:slice"] = {"resolution": 64}
    app.switch_page("views/slices.py")
    healthy(settle(app))
    assert app.query_params["models"] == source
    app.switch_page("views/home.py")
    healthy(settle(app))
    cards = [element.value.replace("\\", "") for element in app.markdown]
    assert any("my net" in card and ARCHITECTURE in card for card in cards)
    app.switch_page("views/model.py")
    healthy(app.run())
    shown = [element.value.replace("\\", "") for element in app.markdown]
    assert any(f"{ARCHITECTURE}, 32 x 32, normalisation: half" in words for words in shown)
    healthy(app.button(key="model:edit:0").click().run())
    assert (app.number_input(key="model:size").value, app.selectbox(key="model:preset").value) == (32, "half")
    app.selectbox(key="model:preset").set_value("none")
    healthy(app.run())
    assert app.button(key="model:use").label == "Use the changed model"
    app.session_state["settings:slice"] = {"resolution": 64}
    healthy(app.button(key="model:use").click().run())
    (changed,) = app.session_state["models"]
    assert Source.parse(changed).options == {**said.options, "preset": "none"}
    assert len(files(tmp_path)) == 1  # nothing was uploaded again
    app.switch_page("views/model.py")
    healthy(app.run())
    assert [each.key for each in app.button if str(each.key).startswith("model:edit")] == ["model:edit:0"]
    app.button(key="model:forget:0").click()
    healthy(settle(app))
    assert app.session_state["models"] == ("demo:photos/standard",)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evil.pt", pickle.dumps(pytest.fail), "is a pickle that may run code and wants to import"),
        ("cut.safetensors", b"\x08", "is none, or cut off or damaged"),
        ("page.bin", b"<html>", "is no file of torch or safetensors"),
    ],
)
def test_what_is_refused_is_told_and_deleted(
    app: AppTest, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    upload(app, name, content)
    assert not app.exception
    (said,) = [element.value.replace("\\", "") for element in app.error]
    assert message in said
    assert said.startswith("expected")
    assert name in said
    assert files(tmp_path) == []


def test_what_does_not_fit_is_a_table(app: AppTest) -> None:
    buffer = io.BytesIO()
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    tensors["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    torch.save(tensors, buffer)
    healthy(upload(app, "net.pt", buffer.getvalue()))
    assert [element.value for element in app.subheader] == ["In the file", "Architecture"]
    (table,) = [element.value for element in app.dataframe]
    assert table.values.tolist() == [["features.0.weight", "64 x 3 x 5 x 5", "64 x 3 x 3 x 3"]]
    assert "1 of 52 tensors do not fit" in app.warning[0].value
    app.selectbox(key="model:search").set_value("torchvision:squeezenet1_0")
    healthy(app.run())
    assert app.radio(key="model:arch").value == "torchvision:squeezenet1_0"


def test_a_link_asks_for_its_file(app: AppTest, settle: Settle, weights: bytes, tmp_path: Path) -> None:
    kept = Uploads()
    digest = kept.add([("net.pt", weights)]).digest
    source = Source("upload", digest, {"arch": ARCHITECTURE, "size": "32", "preset": "none", "name": "net"}).text()
    kept.close()
    app.switch_page("views/slices.py")
    for name, value in {"models": source, "images": "demo:photos@32", "rows": "3,17,42", "resolution": "128"}.items():
        app.query_params[name] = value
    settle(app)
    (said,) = [element.value for element in app.error]
    assert f"whose digest begins with {digest[:8]}, it is not here" in said
    assert app.session_state["models"] == ("demo:photos/standard",)
    app.file_uploader[0].set_value([("other.pt", b"another file", "")])
    settle(app)
    assert any("it is another one" in element.value for element in app.error)
    assert app.file_uploader[0].value == []  # else a browser would send the wrong file again with the right one
    app.file_uploader[0].set_value([("net.pt", weights, "")])
    healthy(settle(app))
    assert app.session_state["models"] == (source,)
    assert app.query_params["models"] == source
    assert [each.label for each in app.file_uploader] == []


def test_a_session_that_is_gone_takes_its_files_along(
    app: AppTest, settle: Settle, weights: bytes, tmp_path: Path
) -> None:
    healthy(upload(app, "net.pt", weights))
    app.session_state["settings:slice"] = {"resolution": 64}
    app.number_input(key="model:size").set_value(32)
    healthy(app.run())
    healthy(app.button(key="model:use").click().run())
    app.switch_page("views/slices.py")
    healthy(settle(app))
    assert len(files(tmp_path)) == 1
    clear_session_resource_cache("test session id")  # what Streamlit does when a connection ends
    assert files(tmp_path) == []
    app.switch_page("views/home.py")
    app.run()
    assert not app.exception
    assert "is no longer here; bring it again" in app.error[0].value
    assert app.session_state["models"] == ("demo:photos/standard",)


def test_a_server_that_takes_no_uploads(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session_uploads.READ_ONLY, "1")
    healthy(app.run())
    assert [each for each in app.file_uploader if each.label.startswith("Weights")] == []
    assert "takes no uploads" in app.info[0].value
    with pytest.raises(CheckpointError, match="takes no uploads; start your own without --read-only"):
        Uploads().add([("net.pt", b"x")])


# -- what one session brought -----------------------------------------------------------------------------------------


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Uploads, Uploads]]:
    monkeypatch.setattr(session_uploads.tempfile, "tempdir", str(tmp_path))
    one, other = Uploads(), Uploads()
    yield one, other
    one.close()
    other.close()


def test_no_session_can_name_what_another_brought(two: tuple[Uploads, Uploads]) -> None:
    one, other = two
    digest = one.add([("a.pt", b"weights")]).digest
    source = f"upload:{digest}?arch={ARCHITECTURE}"
    one.use(source)
    one.use("torchvision:resnet18")
    assert one.knows(source)
    assert one.knows("torchvision:resnet18")
    for name in (source, "torchvision:resnet18", "timm:resnet18", "/etc/passwd", "module:net.py:f", "demo:photos?x=1"):
        assert not other.knows(name)
    assert other.paths(digest) == ()
    assert one.paths("../../etc/passwd") == ()
    same = other.add([("b.pt", b"weights")])
    assert same.digest == digest
    one.close()
    assert same.paths[0].read_bytes() == b"weights"  # each has a file of its own


def test_too_much_is_refused(two: tuple[Uploads, Uploads], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = two
    for number in range(session_uploads.MOST_FILES):
        one.add([("a.pt", bytes([number]))])
    with pytest.raises(CheckpointError, match="expected at most 6 uploads"):
        one.add([("a.pt", b"more")])
    one.delete(list(one.files))
    monkeypatch.setattr(session_uploads, "MOST_BYTES", 10)
    with pytest.raises(CheckpointError, match="got one more; forget another"):
        one.add([("a.pt", bytes(11))])


def test_forgetting_one_model_keeps_the_file_of_another(two: tuple[Uploads, Uploads]) -> None:
    one, _ = two
    upload = one.add([("../../a b.PT", b"weights")])
    assert upload.paths[0].name == "a_b.PT"
    assert upload.paths[0].parent.parent.parent.name.startswith("boundary-atlas-uploads-")
    names = one.add([("names.txt", b"a\nb")])
    sources = [f"upload:{upload.digest}?size={size}&names=list:{names.digest}" for size in (32, 64)]
    for source in sources:
        one.use(source)
    one.forget(sources[0])
    assert upload.paths[0].exists()
    assert names.paths[0].exists()
    one.forget(sources[1])
    assert not upload.paths[0].exists()
    assert not names.paths[0].exists()


def test_what_a_killed_server_left_is_swept(two: tuple[Uploads, Uploads], tmp_path: Path) -> None:
    one, other = two
    kept = one.add([("a.pt", b"weights")]).paths[0]
    root = kept.parent.parent.parent
    left = root / "999999999-abc"
    left.mkdir()
    (left / "0.pt").write_bytes(b"x")
    other.add([("b.pt", b"weights")])
    assert not left.exists()
    assert kept.exists()


def test_two_models_of_one_file_stand_side_by_side(app: AppTest, settle: Settle, weights: bytes) -> None:
    app.session_state["settings:slice"] = {"resolution": 64}
    for preset in ("none", "half"):
        app.switch_page("views/model.py")
        healthy(app.run())
        healthy(upload(app, "net.pt", weights))
        app.number_input(key="model:size").set_value(32)
        healthy(app.run())
        app.selectbox(key="model:preset").set_value(preset)
        healthy(app.run())
        healthy(app.button(key="model:use").click().run())
        app.switch_page("views/slices.py")
        healthy(settle(app))
    (last,) = app.session_state["models"]
    app.multiselect(key="frame:compare").set_value(app.multiselect(key="frame:compare").options[:1])
    healthy(settle(app))
    first, second = app.session_state["models"]
    assert first == last
    assert [Source.parse(each).options["preset"] for each in (first, second)] == ["half", "none"]
    assert [Source.parse(each).options["name"] for each in (first, second)] == ["net 2", "net"]
    assert sum("forwards" in caption.value for caption in app.caption) >= 2


def test_a_file_that_is_refused_leaves_the_draft_before_it(app: AppTest, weights: bytes) -> None:
    healthy(upload(app, "net.pt", weights))
    before = dict(app.session_state["draft"])
    for name, content in {"broken.pt": b"broken", "broken.zip": b"PK\x05\x06" + bytes(18)}.items():
        upload(app, name, content)
        assert app.session_state["model:refused"].startswith("expected ")
        assert app.session_state["draft"] == before
    other = io.BytesIO()
    torch.save({name: tensor + 1 for name, tensor in torch.load(io.BytesIO(weights))["state_dict"].items()}, other)
    healthy(upload(app, "other.pt", other.getvalue()))
    assert app.session_state["model:refused"] == ""
    assert app.session_state["draft"]["digest"] != before["digest"]


@pytest.mark.parametrize("std", [0.25, 0.0])
def test_a_normalisation_in_the_file_is_offered_or_asked_for(app: AppTest, std: float) -> None:
    buffer = io.BytesIO()
    beside = {"pixel_mean": torch.tensor([0.25, 0.5, 0.75]), "pixel_std": torch.full((3,), std)}
    torch.save({"state_dict": untrained(ARCHITECTURE, 4).state_dict(), **beside}, buffer)
    upload(app, "net.pt", buffer.getvalue())
    assert not app.exception
    kept = "as the file keeps it: mean 0.25, 0.5, 0.75, std 0.25, 0.25, 0.25"
    assert (kept in app.selectbox(key="model:preset").options) == (std > 0)
    assert ["a positive std" in each.value for each in app.error] == [True] * (std == 0)
    assert app.button(key="model:drop").label == "Drop this file"
    app.selectbox(key="model:preset").set_value("half")
    healthy(app.run())
    assert not app.error


def test_a_zip_of_checkpoints_is_a_series_with_a_slider_and_a_gif(
    app: AppTest, settle: Settle, weights: bytes, tmp_path: Path
) -> None:
    first = torch.load(io.BytesIO(weights))["state_dict"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for epoch in (10, 2, 9):
            buffer = io.BytesIO()
            torch.save({name: tensor + 0.01 * epoch for name, tensor in first.items()}, buffer)
            opened.writestr(f"run/epoch-{epoch}.pt", buffer.getvalue())
        opened.writestr("run/epoch-3.pt", b"broken")
        opened.writestr("../epoch-4.pt", weights)
        opened.writestr("log.txt", b"loss")
    healthy(upload(app, "training.zip", archive.getvalue()))
    said = app.warning[0].value.replace("\\", "")
    assert "epoch-3.pt: expected a checkpoint" in said
    assert "epoch-4.pt: expected a name inside the archive" in said
    app.number_input(key="model:size").set_value(32)
    healthy(app.run())
    app.session_state["settings:slice"] = {"resolution": 16, "dpi": 50, "width": 40}
    healthy(app.button(key="model:use").click().run())
    app.session_state["settings:slice"] = {"resolution": 16, "dpi": 50, "width": 40}
    app.switch_page("views/slices.py")
    healthy(settle(app))
    (last,) = app.session_state["models"]
    slider = app.select_slider(key="frame:checkpoint:training")
    assert slider.options == ["epoch-2.pt", "epoch-9.pt", "epoch-10.pt"]
    assert Source.parse(last).options["name"] == "epoch-10.pt"
    assert "training (3 checkpoints)" in app.radio(key="frame:model:yours").options
    app.button(key="series:slice:make").click()
    healthy(settle(app))
    job = app.session_state["series"]["slice"]
    assert job.wait(60)
    with Image.open(io.BytesIO(job.result.gif)) as gif:
        assert gif.n_frames == 3
    assert read_recipe(job.result.gif)["models"] == [last]
    app.select_slider(key="frame:checkpoint:training").set_value(job.result.sources[0])
    healthy(settle(app))
    (now,) = app.session_state["models"]
    assert Source.parse(now).options == {**Source.parse(last).options, "name": "epoch-2.pt"}
    assert app.query_params["models"] == now
    app.switch_page("views/model.py")
    healthy(app.run())
    app.button(key="model:forget:0").click()
    healthy(settle(app))
    assert app.session_state["models"] == ("demo:photos/standard",)
    assert "series" not in app.session_state
    assert files(tmp_path) == []


def test_files_of_one_checkpoint_are_shards_and_no_series(app: AppTest) -> None:
    tensors = untrained(ARCHITECTURE, 4).state_dict()
    halves = [dict(list(tensors.items())[place::2]) for place in range(2)]
    contents = []
    for half in halves:
        buffer = io.BytesIO()
        torch.save(half, buffer)
        contents.append(buffer.getvalue())
    place = next(each for each in app.file_uploader if each.label.startswith("Weights"))
    place.set_value([(f"part-{k}.pt", content, "application/octet-stream") for k, content in enumerate(contents)])
    healthy(app.run())
    assert "series" not in app.session_state["draft"]
    assert "all 52 tensors fit, 4 classes" in str(app.radio(key="model:arch").proto)


def test_a_series_counts_as_one_upload_and_is_kept_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session_uploads.tempfile, "tempdir", str(tmp_path))
    kept = Uploads()
    found = kept.add_series([(f"{k}.pt", lambda k=k: bytes([k]) * 10) for k in range(9)], "run")  # type: ignore[misc]
    assert [len(kept.paths(each.digest)) for each in found] == [1] * 9
    for k in range(session_uploads.MOST_FILES - 1):
        kept.add([("a.pt", bytes([k, k]))])
    with pytest.raises(CheckpointError, match="expected at most 6 uploads"):
        kept.add([("b.pt", b"b")])

    def broken() -> bytes:
        raise CheckpointError("expected a file")

    kept.delete([list(kept.files)[-1]])
    before = set(kept.files)
    with pytest.raises(CheckpointError, match="expected a file"):
        kept.add_series([("1.pt", lambda: b"new"), ("2.pt", broken)], "other")
    assert set(kept.files) == before
    with pytest.raises(CheckpointError, match="expected 1 to 100 checkpoints"):
        kept.add_series([("1.pt", broken)] * 101, "other")
    kept.close()
    assert files(tmp_path) == []
