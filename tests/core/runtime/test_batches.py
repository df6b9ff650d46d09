"""Batches of one shape, halved when memory runs out; a batch shape measured once and remembered."""

import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core import files
from core.runtime import batches as compute
from core.runtime.batches import Batches, BatchShapes, Chunks, engine_mode, scratch
from core.runtime.progress import OnProgress


@given(rows=st.integers(1, 40), size=st.integers(1, 16))
def test_batches_equal_one_call_on_all_rows(rows: int, size: int) -> None:
    inputs = torch.arange(rows * 3.0).view(rows, 3)
    shapes = set()

    def double(part: torch.Tensor) -> torch.Tensor:
        shapes.add(len(part))
        return 2 * part

    batches = Batches(size)
    assert torch.equal(batches(double, inputs), 2 * inputs)
    assert shapes == {size}  # the tail is padded, since another shape rounds differently
    assert batches.rows == -(-rows // size) * size


@pytest.mark.parametrize("message", ["DefaultCPUAllocator: not enough memory", None])
def test_a_batch_that_does_not_fit_is_halved_and_tried_again(message: str | None) -> None:
    tried = []

    def fits_four(part: torch.Tensor) -> torch.Tensor:
        tried.append(len(part))
        if len(part) > 4:
            raise RuntimeError(message) if message else torch.OutOfMemoryError("CUDA out of memory")
        return part + 1

    batches = Batches(16)
    inputs = torch.zeros(10, 1)
    assert torch.equal(batches(fits_four, inputs), inputs + 1)
    assert tried == [16, 8, 4, 4, 4]
    assert batches.size == 4


def test_chunks_cover_all_rows_and_are_halved_when_memory_runs_out() -> None:
    fractions: list[float] = []

    def fits_two(rows: slice, tick: OnProgress) -> list[int]:
        if rows.stop - rows.start > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        tick(1.0)
        return list(range(rows.start, rows.stop))

    chunks = Chunks(24, each=3)  # 8 rows of 3 values each
    assert chunks(5, fits_two, fractions.append) == [[0, 1], [2, 3], [4]]
    assert chunks.size == 6
    assert fractions == pytest.approx([0, 0, 0, 0.4, 0.4, 0.8, 0.8, 1])
    assert chunks(0, fits_two) == []


def test_a_row_that_does_not_fit_is_an_error() -> None:
    def never(rows: slice, tick: OnProgress) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Chunks(4)(3, never)


def test_the_engine_makes_ordinary_tensors_in_any_mode() -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), engine_mode(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert not product.is_inference()
        assert product.dtype == torch.float32
    with engine_mode(torch.device("cpu")):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    def broken(part: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Batches(16)(broken, torch.zeros(3, 1))


def test_one_row_that_does_not_fit_is_an_error() -> None:
    def never(part: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Batches(4)(never, torch.zeros(3, 1))


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Batches(2)(lambda part: part, torch.zeros(0, 1))


def test_the_batch_shape_is_measured_once_and_kept_on_disk(tmp_path: Path) -> None:
    calls = []
    device = torch.device("cpu")
    path = tmp_path / "shapes.json"
    first = BatchShapes(path).get("net", calls.append, device)
    measured = len(calls)
    assert measured > 0
    assert BatchShapes(path).get("net", calls.append, device) == first
    assert len(calls) == measured
    assert BatchShapes(path).halve("net", device, 64) == 32
    assert BatchShapes(path).get("net", calls.append, device) == 32


def test_without_a_fingerprint_nothing_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    BatchShapes(path).get("", lambda size: None, torch.device("cpu"))
    assert not path.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with files.atomic_write(path) as file:
            file.write_text("half of the new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_named_device_wins() -> None:
    assert compute.choose_device("cpu").type == "cpu"
    assert compute.choose_device().type in ("cuda", "mps", "cpu")


def test_freed_memory_is_reused() -> None:
    compute.choose_device("cpu")

    def faults(rounds: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(rounds):
            torch.ones(1 << 20).add_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults(5)
    pages = 20 * (4 << 20) / resource.getpagesize()
    assert faults(20) < pages / 4 or sys.platform != "linux"


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_missing_device_is_reported_in_one_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected a device that is here, such as .*, got '{name}'"):
        compute.choose_device(name)


def test_scratch_memory_is_reused_up_to_a_size() -> None:
    cpu = torch.device("cpu")
    first = scratch(1000, torch.float32, cpu)
    assert scratch(10, torch.float32, cpu).data_ptr() == first.data_ptr()
    assert len(scratch(10, torch.float32, cpu)) == 10
    longer = scratch(2000, torch.float32, cpu)
    assert len(longer) == 2000
    assert scratch(1000, torch.float32, cpu).data_ptr() == longer.data_ptr()
    assert scratch(1000, torch.float64, cpu).dtype == torch.float64
    vast = scratch((64 << 20) // 8 + 1, torch.float64, cpu)
    assert scratch(1, torch.float64, cpu).data_ptr() != vast.data_ptr()


def test_every_thread_has_its_own_scratch_memory() -> None:
    ours = scratch(100, torch.float32, torch.device("cpu"))
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(scratch, 100, torch.float32, torch.device("cpu")).result()
    assert ours.data_ptr() != theirs.data_ptr()
