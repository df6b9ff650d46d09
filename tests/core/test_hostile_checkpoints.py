"""Every hostile or damaged checkpoint is refused in one sentence of ours, runs nothing, and takes no memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from core import registries
from core.checkpoints import load_classifier
from core.errors import CheckpointError
from core.pickles import look
from tests.hostile import MARK, TRIPPED, Calls, hostile, saved

MOST_RESIDENT = 200 << 10  # kB, above what the process had: bombs claim 64 MB to 16 exabytes


def test_the_corpus_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    files = list(hostile(tmp_path))
    assert len(files) >= 240
    assert len({name for name, _ in files}) == len(files)
    registries.fit("torchvision:resnet18", {})  # what is imported takes memory too
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = []
    for name, content in files:
        path = tmp_path / name
        path.write_bytes(content)
        try:
            load_classifier(f"{path}?arch=torchvision:resnet18&preset=imagenet", "cpu")
        except CheckpointError as error:
            sentence = str(error)
            if (
                "\n" in sentence
                or not sentence.startswith("expected ")
                or len(sentence) > 600
                or str(tmp_path) in sentence
            ):
                wrong.append((name, sentence))
        else:
            wrong.append((name, "was loaded"))
        path.unlink()
        if (tmp_path / TRIPPED).exists():
            pytest.fail(f"{name} ran its code")
    assert wrong == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_RESIDENT


def test_the_trap_works(tmp_path: Path) -> None:
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
def test_a_refusal_names_what_the_file_wanted(tmp_path: Path, thing: object, wanted: str) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(saved(thing))
    assert look(path).strange == (wanted,)
    with pytest.raises(
        CheckpointError, match=f"wants to import {wanted}; it was not opened; .* writes the weights alone"
    ):
        load_classifier(f"{path}?arch=torchvision:resnet18", "cpu")
