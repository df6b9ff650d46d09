"""Nothing that runs code is loaded without trust, however its path is spelled; weights need none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes

from core import cli
from core.errors import CheckpointError
from core.models import checkpoints, exported, state_dicts, third_party
from core.models.load import load_classifier
from core.models.trust import require_trust
from core.sources.models import ASSETS, Source
from tests.hostile import archive, entries_of, net, saved

PROGRAM = archive({"net/archive_format": b"pt2", "net/models/model.json": b"{}", "net/data/weights/0": bytes(8)})


def files() -> dict[str, tuple[bytes, bool]]:
    """Content of each file, and whether it needs trust."""
    script = {
        "net/data.pkl": b"\x80\x02N.",
        "net/constants.pkl": b"\x80\x02).",
        "net/code/__torch__.py": b"",
        "net/version": b"3",
    }
    return {
        "weights.safetensors": (safetensors_bytes(net()), False),
        "weights.pt": (saved(net()), False),
        "weights.pth": (saved(net(), old=True), False),
        "called.pt2": (saved(net()), False),  # it is weights, whatever it is called
        "net.pt2": (PROGRAM, True),
        "NET.PT2": (PROGRAM, True),
        "renamed.pt": (PROGRAM, True),
        "renamed.safetensors": (PROGRAM, True),
        "no_ending": (PROGRAM, True),
        "script.pt": (archive(script), True),
        "net.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.0.0:\x00", True),
        "net.py": (b"def build(): ...", True),
        "net.pkl": (b"\x80\x02}q\x00.", True),
        "upper.pt": (archive({name.upper(): content for name, content in entries_of(PROGRAM).items()}), True),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trust")
    for name, (content, _) in files().items():
        (made / name).write_bytes(content)
    return made


def needs(source: str) -> bool:
    try:
        require_trust(source)
    except CheckpointError as error:
        return str(error).endswith("look at it, then add --trust")
    return False


def test_a_file_is_judged_by_its_content(folder: Path) -> None:
    assert {name: needs(str(folder / name)) for name in files()} == {name: said for name, (_, said) in files().items()}


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "as it is": str,
    "slash": lambda path: f"{path}/",
    "slash and dot": lambda path: f"{path}/.",
    "dots": lambda path: f"{path.parent}/../{path.parent.name}/{path.name}",
    "twice": lambda path: f"{path.parent}//./{path.name}",
    "question mark": lambda path: f"{path}/?preset=none",
    "options": lambda path: f"{path}?size=32&preset=none",
    "untrained": lambda path: f"untrained:{path}/",
    "untrained with a seed": lambda path: f"untrained:7:{path}",
    "untrained twice": lambda path: f"untrained:3:untrained:{path}/.?preset=none",
    "linearised": lambda path: f"linearised:{path}?row=3",
    "analytic": lambda path: f"analytic:ball:{path}?row=3",
    "relative": lambda path: os.path.relpath(path),
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_no_spelling_of_a_path_changes_the_verdict(folder: Path, spelled: Callable[[Path], str]) -> None:
    for name in ("net.pt2", "renamed.pt", "net.onnx", "weights.pt", "weights.safetensors"):
        assert needs(spelled(folder / name)) is files()[name][1], spelled(folder / name)


@given(
    name=st.sampled_from(["net.pt2", "weights.pt"]),
    parts=st.lists(st.sampled_from(["", ".", "../{}", "./", "//"]), max_size=5),
    tail=st.sampled_from(["", "/", "/.", "/./", "//"]),
    link=st.sampled_from(["", "link.pt", "link.pt2", "link.onnx", "link", "LINK.PT"]),
    null=st.sampled_from(["", "untrained:", "untrained:4:", "linearised:", "analytic:voronoi:"]),
    options=st.sampled_from(["", "?preset=none", "?size=3x32x32&name=a"]),
)
def test_spellings_and_links_in_any_order_are_judged_alike(
    folder: Path, name: str, parts: list[str], tail: str, link: str, null: str, options: str
) -> None:
    place = folder / name
    if link:
        links = folder / "links" / name
        links.mkdir(parents=True, exist_ok=True)
        place = links / link
        if not place.is_symlink():
            place.symlink_to(folder / name)
    between = "/".join(part.format(place.parent.name) for part in parts)
    assert needs(f"{null}{place.parent}/{between}/{place.name}{tail}{options}") is files()[name][1]


@pytest.mark.parametrize(
    ("source", "trusted"),
    [
        ("demo:photos/standard", True),
        ("upload:ab12?arch=timm:resnet18", True),
        ("torchvision:resnet18", True),
        ("torchvision:resnet18:untrained", True),
        ("timm:resnet18.a1_in1k", True),
        ("hf-hub:timm/resnet18.a1_in1k@0123", True),
        ("untrained:timm:resnet18", True),
        ("module:net.py:build", False),
        ("untrained:2:module:net.py:build?size=32", False),
        ("robustbench:Linf/cifar10/Standard", False),
        ("timm:local-dir:/tmp/net", False),
        ("timm:hf-hub:me/net", False),
        ("timm:../net", False),
        ("torchvision:a/b", False),
        ("torchvision:", False),
    ],
)
def test_kinds_of_sources(source: str, trusted: bool) -> None:
    assert needs(source) is not trusted


def test_missing_files_are_reported_by_the_loader(tmp_path: Path) -> None:
    assert not needs(str(tmp_path / "nothing.pt2"))
    with pytest.raises(CheckpointError, match="found no"):
        load_classifier(tmp_path / "nothing.pt2", "cpu", trust=False)
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        load_classifier(tmp_path / "loop.pt", "cpu", trust=False)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run instead of being refused."""
    found: list[str] = []

    def running(name: str) -> Callable[..., Any]:
        def run(*args: object, **kwargs: object) -> Any:
            found.append(name)
            raise CheckpointError("expected that nothing runs")

        return run

    for name in ("load_pt2", "load_onnx", "call_factory"):
        monkeypatch.setattr(exported, name, running(name))
    monkeypatch.setattr(third_party.importlib.util, "find_spec", running("robustbench"))
    monkeypatch.setattr(torch, "load", running("torch.load"))
    return found


@pytest.mark.parametrize("command", ["run", "series"])
def test_a_recipe_runs_nothing_unless_it_is_trusted(
    folder: Path, tmp_path: Path, ran: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "net.pt2", tmp_path / "net.pt2")
    models = [f"{tmp_path}/net.pt2/?preset=none", f"{tmp_path}/net.pt2/.", f"untrained:{tmp_path}/net.pt2/"]
    models += [f"module:{folder}/net.py:build?size=3x32x32", "robustbench:Linf/cifar10/Standard", f"{folder}/net.onnx"]
    for model in models:
        recipe = {
            "recipe": 1,
            "analysis": "slice",
            "models": [model],
            "images": {"source": "demo:photos", "rows": [1, 2, 3]},
        }
        (tmp_path / "recipe.json").write_text(json.dumps({**recipe, "series": [model]}))
        out = tmp_path / ("x.npz" if command == "run" else "x.gif")
        again = [command, str(tmp_path / "recipe.json"), "--out", str(out)]
        assert cli.main(again) == 1
        assert "runs code by " in capsys.readouterr().err
        assert ran == []
        assert cli.main([*again, "--trust"]) == 1
        assert ran.pop() in ("load_pt2", "load_onnx", "call_factory", "robustbench")
        assert ran == []
        capsys.readouterr()


def test_sources_on_the_command_line_are_trusted(folder: Path, tmp_path: Path, ran: list[str]) -> None:
    asked = ["slice", "--model", f"{folder}/net.pt2", "--image-set", "demo:photos", "--images", "1,2,3"]
    assert cli.main([*asked, "--out", str(tmp_path / "x.npz")]) == 1
    assert ran == ["load_pt2"]


def test_source_text_and_parsed_source_are_judged_alike(folder: Path) -> None:
    with pytest.raises(CheckpointError):
        require_trust(Source.parse(f"{folder}/net.pt2"))
    require_trust(Source.parse(f"{folder}/weights.pt"))


@pytest.mark.parametrize("trusting", ["linearised:demo:digits/standard?row=0&images=torchvision:MNIST", "net.pt2"])
def test_load_classifier_itself_requires_trust(folder: Path, trusting: str) -> None:
    source = trusting if ":" in trusting else str(folder / trusting)
    with pytest.raises(CheckpointError, match="then add --trust"):
        load_classifier(source, "cpu", trust=False)


def test_a_path_through_our_own_folder_is_resolved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def read(function: str, **given: Any) -> None:
        opened.append(function)
        pytest.fail("read")

    monkeypatch.setattr(state_dicts, "isolated", read)
    way = "/".join([".."] * len(ASSETS.resolve().parts))
    for spelled in (folder / "weights.safetensors", Path(f"{ASSETS}/{way}{folder.resolve()}/weights.safetensors")):
        assert spelled.is_file()
        with pytest.raises(pytest.fail.Exception, match="read"):
            checkpoints.read_checkpoint(spelled)
    assert opened == ["core.models.tensor_files:layouts"] * 2


@pytest.mark.parametrize(
    "null", ["untrained:", "untrained:4:", "linearised:", "linearised:linearised:", "analytic:ball:"]
)
@pytest.mark.parametrize("name", ["net?arch=x.pt2", "a?name=b.onnx", "net?arch=torchvision:resnet18&name=x.pt2"])
def test_the_source_that_is_judged_is_the_one_that_is_loaded(
    null: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(PROGRAM)
    for loader in ("load_onnx", "load_pt2"):
        monkeypatch.setattr(exported, loader, lambda *args, **kwargs: pytest.fail("it ran"))
    for source in (name, f"{null}{name}", f"{null}{tmp_path}/{name}"):
        with pytest.raises(CheckpointError):
            load_classifier(source, "cpu", trust=False)
