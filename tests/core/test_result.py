"""Results keep their numbers, units and provenance on the way to disk and back."""

import importlib
import io
import json
import pkgutil
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import core
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice, slice_plane
from core.result import Context, Result, per_sample, quantity
from tests import truths


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample(Result):
    """A result that lives outside `core`."""

    values: np.ndarray = quantity("ℓ2 pixel", "n")


def a_slice() -> Slice:
    anchors = truths.images(3, (1, 4, 4))
    classifier = truths.classifier(truths.NearestCentre(anchors), (1, 4, 4))
    return slice_plane(classifier, Plane.through(*anchors), (-1.0, 3.0, -1.0, 3.0), 17)


def test_every_field_of_a_slice_survives_the_disk(tmp_path: Path) -> None:
    saved = replace(a_slice(), recipe={"recipe": 1, "rows": [3, 17]})
    saved.save(tmp_path / "slice.npz")
    loaded = Result.load(tmp_path / "slice.npz")
    assert isinstance(loaded, Slice)
    for name, value in vars(saved).items():
        again = getattr(loaded, name)
        if isinstance(value, np.ndarray):
            assert again.dtype == value.dtype
            np.testing.assert_array_equal(again, value)
        elif name == "seconds":
            assert np.isnan(again)  # files hold no timings
        elif name == "recipe":
            assert dict(again) == {"recipe": 1, "rows": [3, 17]}
        else:
            assert again == value


def test_files_do_not_depend_on_how_long_it_took() -> None:
    result = a_slice()
    slower = replace(result, seconds=result.seconds + 1)
    assert result.to_bytes(timings=False) == slower.to_bytes(timings=False)
    assert result.to_bytes() != slower.to_bytes()
    assert Slice.from_bytes(slower.to_bytes()).seconds == slower.seconds


def test_units_and_axes_are_known_by_field_and_saved() -> None:
    assert Slice.unit("x") == "ℓ2 pixel"
    assert Slice.axes("logits") == ("y", "x", "class")
    with np.load(io.BytesIO(a_slice().to_bytes()), allow_pickle=False) as archive:
        assert json.loads(str(archive["result"]))["units"]["margin"] == "logit"


def result_classes() -> list[type[Result]]:
    """Every class of results that `core` has."""
    for module in pkgutil.walk_packages(core.__path__, "core."):
        importlib.import_module(module.name)
    found, waiting = [], [Result]
    while waiting:
        more = waiting.pop().__subclasses__()
        waiting += more
        found += [kind for kind in more if kind.__module__.startswith("core.")]
    return found


def test_every_result_is_a_public_name_of_core() -> None:
    found = result_classes()
    assert len(found) > 60
    assert [kind.__name__ for kind in found if getattr(core, kind.__name__, None) is not kind] == []


def test_names_of_version_0_1_lead_to_their_replacements() -> None:
    assert core.RENAMED["follow"] == "run_recipe"
    for old, new in core.RENAMED.items():
        assert old not in core.__all__
        assert getattr(core, old) is getattr(core, new)


@pytest.mark.parametrize("module", ["core.geometry.slices", "core.geometry.planes.slices", "core.gone"])
def test_results_that_name_an_old_module_are_read(module: str) -> None:
    data = a_slice().to_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("result")))
    assert header["kind"] == "Slice"
    buffer = io.BytesIO()
    np.savez(buffer, result=np.array(json.dumps({**header, "kind": f"{module}.Slice"})), **arrays)
    assert isinstance(Result.from_bytes(buffer.getvalue()), Slice)


def blank(kind: type[Result]) -> Result:
    """A result with something in each field that needs it."""
    plain: dict[Any, Any] = {"np.ndarray": np.ones(1), "float": 1.5, "bool": True, "str": "word"}
    needed = (entry for entry in fields(kind) if entry.default is MISSING)
    return kind(**{each.name: plain.get(each.type, () if "tuple" in str(each.type) else 2) for each in needed})


def test_results_saved_by_version_0_1_are_read_despite_renamed_kinds_and_fields() -> None:
    old_kinds = {new: old for old, new in core.RENAMED.items()}
    tried = 0
    for kind in result_classes():
        old = {entry.name: entry.metadata["formerly"] or entry.name for entry in fields(kind)}
        if kind.__name__ not in old_kinds and all(name == before for name, before in old.items()):
            continue
        with np.load(io.BytesIO(blank(kind).to_bytes()), allow_pickle=False) as archive:
            arrays = {old.get(name, name): value for name, value in archive.items()}
        header = json.loads(str(arrays.pop("result")))
        header["fields"] = {old[name]: value for name, value in header["fields"].items()}
        header["kind"] = f"core.gone.{old_kinds.get(kind.__name__, kind.__name__)}"
        buffer = io.BytesIO()
        np.savez(buffer, result=np.array(json.dumps(header)), **arrays)
        again = Result.from_bytes(buffer.getvalue())
        assert type(again) is kind
        assert again.to_bytes() == blank(kind).to_bytes()
        tried += 1
    assert tried


def test_other_files_are_not_results() -> None:
    with pytest.raises(ValueError, match="expected an .npz file written by Boundary Atlas"):
        Result.from_bytes(b"PK not a zip")
    foreign = Sample(values=np.zeros(2), forwards=0, gradients=0, seconds=0.0).to_bytes()
    with pytest.raises(ValueError, match="expected a result of Boundary Atlas"):
        Result.from_bytes(foreign)  # only classes of core are ever looked up


def test_nbytes_counts_the_arrays() -> None:
    assert Sample(values=np.zeros(5), forwards=0, gradients=0, seconds=0.0).nbytes == 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Result):
    """Distances of three images by two searches, with how they were found."""

    distance: np.ndarray = quantity("ℓ2 pixel", "image search", words="distance to the boundary")
    found: np.ndarray = quantity("", "image", words="images found")
    largest: float = quantity("ℓ2 pixel")

    @property
    def median(self) -> float:
        return 2.5


def measured() -> Measured:
    distance = np.array([[1.0, 3.0], [np.nan, 4.0], [np.nan, np.inf]])
    found = np.array([True, False, True])
    return Measured(distance=distance, found=found, largest=4.0, forwards=0, gradients=0, seconds=0.0)


def test_key_numbers_are_the_fields_with_words_and_samples_are_means_of_finite_values() -> None:
    distance, found = measured().key_numbers(Context())
    np.testing.assert_array_equal(distance.value, [2.0, 4.0, np.nan])
    assert (distance.name, distance.unit) == ("distance to the boundary", "ℓ2 pixel")
    assert found.name == "images found"
    np.testing.assert_array_equal(found.value, [True, False, True])


def test_a_property_has_its_own_words_and_unit() -> None:
    largest, median = measured().quoted("largest:largest distance", "median:median distance:pixel")
    assert (largest.name, largest.value, largest.unit) == ("largest distance", 4.0, "ℓ2 pixel")
    assert (median.name, median.value, median.unit) == ("median distance", 2.5, "pixel")


def test_each_column_is_a_number_with_its_label() -> None:
    numbers = list(measured().quoted("distance", columns=("one search", "the other")))
    assert [each.name for each in numbers] == [
        "distance to the boundary, one search",
        "distance to the boundary, the other",
    ]
    for each, column in zip(numbers, measured().distance.T, strict=True):
        np.testing.assert_array_equal(each.value, np.where(np.isfinite(column), column, np.nan))


def test_shares_of_samples_in_several_columns_are_means() -> None:
    np.testing.assert_array_equal(per_sample(np.array([[True, False], [True, True]])), [0.5, 1.0])
