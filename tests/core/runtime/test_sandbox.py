"""A file from outside is read in a process of its own, which ends at its limits and takes nothing along."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import CheckpointError, ImageError
from core.runtime import sandbox
from core.runtime.sandbox import Limits, isolated

QUICK = Limits(memory=256 << 20, seconds=3, output=32 << 20)


def read(function: str, limits: Limits = QUICK, **arguments: Any) -> Any:
    """Run a reader of `tests.readers`."""
    return isolated(f"tests.readers:{function}", name="it.pt", limits=limits, refusal=CheckpointError, **arguments)


def test_values_survive_the_round_trip() -> None:
    arguments: dict[str, Any] = {
        "a": [1, -2, 2.5, True, None, "café\0\udcff"],
        "b": (b"\0\xff", ["l", []], ("t", ())),
        "c": {"d": {"a": "a"}, 3: [float("inf")]},
        "e": np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1],
        "f": np.array([["ab", "c"]]),
        "g": np.empty((0, 4), np.uint8),
    }
    found = read("back", **arguments)
    assert list(found) == list(arguments)
    assert {name: found[name] for name in "abc"} == {name: arguments[name] for name in "abc"}
    for name in "efg":
        assert found[name].dtype == arguments[name].dtype
        assert np.array_equal(found[name], arguments[name])


@pytest.mark.parametrize(
    ("function", "limits", "message"),
    [
        ("grows", QUICK, "it.pt takes more memory"),
        ("spins", Limits(256 << 20, 1, 1 << 20), "it.pt takes longer than 1 s"),
        ("sleeps", Limits(256 << 20, -2.4, 1 << 20), "it.pt takes longer than 0 s"),
    ],
)
def test_a_reader_is_ended_at_its_limits(function: str, limits: Limits, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"expected a file that is read within .* of processor time, {message}"):
        read(function, limits)


def test_output_is_limited() -> None:
    assert len(read("array", Limits(256 << 20, 5, 2 << 20), size=1 << 20)) == 1 << 20
    with pytest.raises(CheckpointError, match="it.pt gives more than 1 MB"):
        read("array", Limits(256 << 20, 5, 1 << 20), size=2 << 20)


def test_memory_is_limited_where_the_system_sets_no_limit() -> None:
    """The watchdog alone: as where a system has no limit of its own."""
    with pytest.raises(CheckpointError, match="it.pt takes more memory than 64 MB"):
        isolated(
            "tests.readers_without_limits:grows",
            name="it.pt",
            limits=Limits(64 << 20, 20, 1 << 20),
            refusal=CheckpointError,
        )


def test_our_errors_are_passed_on_and_others_get_a_reference(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ImageError, match=r"^expected a cat, got a dog; draw it again$"):
        read("refuses")
    for function, reason in {"fails": "KeyError: 'nothing'", "crashes": "the reader ended with status -11"}.items():
        with pytest.raises(CheckpointError, match="save it anew, or report it with the reference [0-9A-F]{8}") as told:
            read(function)
        assert reason in str(told.value)
        reference = str(told.value).partition("the reference ")[2][:8]
        assert any(reference in record.getMessage() and reason in record.getMessage() for record in caplog.records)
    assert "Traceback" in caplog.text


def test_files_that_cannot_be_opened_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot open it.pt: No such file or directory; check it"):
        isolated(
            "core.models.tensor_files:kind",
            name="it.pt",
            limits=QUICK,
            refusal=CheckpointError,
            path=tmp_path / "nothing",
        )


def test_output_of_a_library_is_not_an_answer() -> None:
    assert read("prints") == 3


def test_a_reader_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read("writes", path=tmp_path / "file")
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0


def test_progress_is_passed_on_and_can_end_the_reader() -> None:
    told: list[float] = []
    assert (
        isolated("tests.readers:told", name="it", limits=QUICK, refusal=CheckpointError, on_progress=told.append)
        == "done"
    )
    assert sorted(set(told)) == [0, 0.25, 0.5, 0.75, 1]

    class Cancelled(BaseException):
        pass

    def cancel(fraction: float) -> None:
        if fraction:
            raise Cancelled

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        isolated("tests.readers:sleeps", name="it", limits=QUICK, refusal=CheckpointError, on_progress=cancel)
    assert time.monotonic() - begin < 20  # it sleeps for a minute
    assert "sandbox" not in _children()


def _children() -> str:
    told = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, check=False, text=True
    )
    return told.stdout


def test_readers_wait_for_a_free_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    sandbox._slots.cache_clear()
    monkeypatch.setattr(sandbox, "TOGETHER", 1)

    def ask() -> None:
        assert read("told") == "done"
        running.append(1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(running) == 3
    sandbox._slots.cache_clear()


def test_readers_need_no_torch() -> None:
    assert not {"torch", "streamlit", "matplotlib"} & set(read("modules"))


@pytest.mark.parametrize("reader", ["core.models.tensor_files", "core.models.pickles"])
def test_modules_of_readers_import_no_torch(reader: str) -> None:
    program = f"import sys, {reader}; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=sandbox.CHECKOUT
    )
    assert not {"torch", "numpy"} & set(told.stdout.split())


def test_settings_of_the_machine_cap_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Limits.of(100_000_000, memory=1 << 30) == Limits(1 << 30, 20, 64 << 20)
    monkeypatch.setenv(sandbox.MEMORY, "100")
    monkeypatch.setenv(sandbox.SECONDS, "5")
    assert Limits.of(100_000_000, memory=1 << 30) == Limits(100 << 20, 5, 64 << 20)
    monkeypatch.setenv(sandbox.MEMORY, "a lot")
    assert Limits.of(0, memory=1 << 30).memory == 1 << 30
