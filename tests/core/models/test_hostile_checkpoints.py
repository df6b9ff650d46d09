"""Every hostile or damaged checkpoint is refused in one sentence of ours, runs nothing, and takes no memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from core.errors import CheckpointError
from core.models.load import load_classifier
from core.models.state_dicts import read_state_dicts
from core.runtime.sandbox import Limits, isolated
from tests.hostile import MARK, TRIPPED, Calls, hostile, saved

LIMITS = Limits(memory=700 << 20, seconds=120, output=4 << 20)  # of all files together; bombs claim up to exabytes

# Files that hold nothing but weights, which are no network's, or no weights at all: told once they are read.
READ = {
    *(
        f"weights_{name}.{ending}"
        for name in ("shape", "flat", "missing", "scalars")
        for ending in ("pt", "safetensors")
    ),
}


def test_hostile_files_are_refused_and_run_nothing(tmp_path: Path) -> None:
    names = []
    for name, content in hostile(tmp_path):
        names.append(name)
        (tmp_path / name).write_bytes(content)
    assert len(names) >= 280
    assert len(set(names)) == len(names)
    told = isolated(
        "tests.readers:refusals",
        name="the corpus",
        limits=LIMITS,
        refusal=CheckpointError,
        paths=[tmp_path / name for name in names],
    )
    assert not (tmp_path / TRIPPED).exists()
    wrong = {name: sentence for name, sentence in told.items() if sentence and not one_sentence(sentence, tmp_path)}
    assert wrong == {}
    for name in (name for name, sentence in told.items() if not sentence):
        with pytest.raises(CheckpointError) as refused:
            load_classifier(f"{tmp_path / name}?arch=torchvision:resnet18&preset=imagenet", "cpu")
        assert one_sentence(str(refused.value), tmp_path), name
        reads = name in READ or any(word in str(refused.value) for word in ("no tensors by name", "finite", "repeat"))
        assert reads, (name, str(refused.value))
    assert not (tmp_path / TRIPPED).exists()


def one_sentence(text: str, folder: Path) -> bool:
    return "\n" not in text and text.startswith("expected ") and len(text) <= 600 and str(folder) not in text


@pytest.mark.parametrize(
    "name", ["opcodes.pt", "names.pt", "two_directories.pt", "old_no_keys.pt", "header_size_0.safetensors"]
)
def test_load_classifier_refuses_hostile_files(tmp_path: Path, name: str) -> None:
    content = next(content for each, content in hostile(tmp_path) if each == name)
    (tmp_path / name).write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as refused:
        load_classifier(f"{tmp_path / name}?arch=torchvision:resnet18&preset=imagenet", "cpu", trust=False)
    assert one_sentence(str(refused.value), tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kB


def test_names_that_share_one_storage_share_memory(tmp_path: Path) -> None:
    base = torch.rand(50, 1000)
    tied = {f"w{number}": base for number in range(3000)}
    torch.save(tied, tmp_path / "tied.pt")
    (found,) = read_state_dicts([tmp_path / "tied.pt"])
    assert len(found.tensors) == 3000
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.tensors.values()}) == 1
    assert all(torch.equal(tensor, base) for tensor in list(found.tensors.values())[::1000])


def test_the_trap_detects_code_that_runs(tmp_path: Path) -> None:
    """A file of the corpus does run when Python opens it: the test above can fail."""
    import pickle

    trace = tmp_path / TRIPPED
    content = next(content for name, content in hostile(tmp_path) if name == "bare_exec_2.pkl")
    pickle.loads(content)
    assert trace.read_text() == MARK


@pytest.mark.parametrize(
    ("thing", "wanted"),
    [
        (Calls(eval, "1"), "__builtin__.eval"),
        (Calls(__import__("os").system, "true"), "posix.system"),
        ({"a": Calls(getattr, "", "join")}, "__builtin__.getattr"),
    ],
)
def test_a_refusal_names_the_imports_of_the_file(tmp_path: Path, thing: object, wanted: str) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(saved(thing))
    with pytest.raises(
        CheckpointError, match=f"wants to import {wanted}; it was not opened; .* writes the weights alone"
    ):
        load_classifier(f"{path}?arch=torchvision:resnet18", "cpu")
