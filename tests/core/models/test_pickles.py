"""What our reader makes of a pickle is what Python's and torch's make of it, and none of it is run."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core.models.pickles import MOST_OPERATIONS, PickleError, Stub, TensorPlace, unpickle
from core.models.state_dicts import read_tensors
from tests.hostile import Calls, entries_of, saved

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**127), 2**127 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner, inner)
    ),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_values_are_those_of_python(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    found = unpickle(content)
    if protocol >= 3:  # bytes are a call of `_codecs.encode` before that
        assert found.value == pickle.loads(content)
    assert found.end == len(content)
    assert set(found.imports) <= {"_codecs.encode", "__builtin__.bytes"}


@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=4),
    dtype=st.sampled_from(
        [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
    ),
    old=st.booleans(),
    turned=st.booleans(),
)
def test_tensors_are_those_of_torch(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]], dtype: torch.dtype, old: bool, turned: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"w{place}": (torch.randn(shape, generator=generator) * 3).to(dtype) for place, shape in enumerate(shapes)
    }
    if turned:
        tensors = {name: tensor.permute(list(reversed(range(tensor.ndim)))) for name, tensor in tensors.items()}
        tensors["tied"] = tensors["w0"]
        tensors["part"] = torch.arange(20).to(dtype)[3:17:2]
    path = tmp_path_factory.getbasetemp() / "net.pt"
    path.write_bytes(saved({"state_dict": collections.OrderedDict(tensors), "epoch": 3}, old=old))
    found, _ = read_tensors([path], own=True)
    expected = torch.load(path, weights_only=True)["state_dict"]
    assert found["state_dict"].keys() == expected.keys() if tensors else not found
    for name, tensor in expected.items():
        came = found["state_dict"][name]
        assert torch.equal(came, tensor.float() if tensor.is_floating_point() else tensor)


def test_other_contents_of_training_checkpoints_are_ignored(tmp_path: Path) -> None:
    kept = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "counts": collections.Counter("abc"),
        "nested": collections.defaultdict(list, a=[1]),
        "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "loss": np.float64(0.5),
        "curve": np.arange(3),
        "seen": {1, 2},
        "parameter": nn.Parameter(torch.ones(2)),
        "size": torch.Size([3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
    }
    (tmp_path / "net.pt").write_bytes(saved({"state_dict": nn.Linear(3, 2).state_dict(), **kept}))
    found, _ = read_tensors([tmp_path / "net.pt"])
    assert set(found["state_dict"]) == {"weight", "bias"}
    assert torch.equal(found["parameter"], torch.ones(2))


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_listed_and_not_made(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps({"a": Calls(Path(tmp_path / "made").touch)}, protocol)
    found = unpickle(content)
    assert any(name.endswith(".getattr") for name in found.strange)
    assert isinstance(found.value["a"], Stub)
    assert not (tmp_path / "made").exists()


def test_tensors_have_positions_in_storages() -> None:
    content = entries_of(saved({"w": torch.arange(12.0).view(3, 4).T[1:]}))["archive/data.pkl"]
    place = unpickle(content).value["w"]
    assert isinstance(place, TensorPlace)
    assert (place.storage.dtype, place.storage.length) == ("float32", 12)
    assert (place.offset, place.shape, place.stride) == (1, (3, 3), (1, 4))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for begin in (b"", b"\x80\x02", b"\x80\x04}"):
        try:
            assert unpickle(begin + content).end <= len(begin + content)
        except PickleError as error:
            assert str(error).startswith("it ")  # noqa: PT017 - either is right


@given(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_any_change_of_a_checkpoint_is_read_or_refused(place: int, value: int) -> None:
    changed = bytearray(CHECKPOINT)
    changed[place % len(changed)] = value
    try:
        found = unpickle(bytes(changed))
    except PickleError:
        return
    assert found.end <= len(changed)


def _checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": nn.Conv2d(2, 3, 3).state_dict(), "args": argparse.Namespace(a=1)}, buffer)
    return entries_of(buffer.getvalue())["archive/data.pkl"]


CHECKPOINT = _checkpoint()


def test_the_number_of_instructions_is_limited() -> None:
    with pytest.raises(PickleError, match="more than 3,000,000 instructions"):
        unpickle(b"\x80\x02" + b"N0" * MOST_OPERATIONS)
