"""Numbers as plain text: one line per point, coordinates first, the recipe above."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from core.exports.tables import data_bytes, numbers_bytes, table_of
from core.figures.drawing.provenance import read_recipe
from core.geometry.planes.boundary_profile import boundary_profile
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import slice_plane
from core.recipes.recipe import Recipe
from core.result import Result
from tests import truths

ANCHORS = truths.images(3, (1, 4, 4))
PLANE = Plane.through(*ANCHORS)
CLASSIFIER = truths.classifier(truths.NearestCentre(ANCHORS), (1, 4, 4))


def test_a_slice_is_a_line_per_grid_point() -> None:
    result = slice_plane(CLASSIFIER, PLANE, (-1.0, 3.0, -1.0, 3.0), 5, "full")
    table = table_of(result)
    assert list(table)[:2] == ["x", "y"]
    assert {"label", "confidence", "entropy", "margin", "evaluated"} <= set(table)
    assert {len(column) for column in table.values()} == {25}
    np.testing.assert_array_equal(table["x"][:5], result.x)
    np.testing.assert_array_equal(table["y"][:5], result.y[0])
    np.testing.assert_array_equal(table["label"].reshape(5, 5), result.label)


def test_a_profile_is_a_line_per_ray() -> None:
    result = boundary_profile(CLASSIFIER, PLANE, 12)
    table = table_of(result)
    assert len(table["angle"]) == 12
    np.testing.assert_array_equal(table["distance"], result.distance)


def test_the_text_reads_back_and_holds_the_recipe() -> None:
    made = Recipe.make("slice", models=["m"], images="i", rows=[0, 1, 2])
    result = slice_plane(CLASSIFIER, PLANE, (-1.0, 3.0, -1.0, 3.0), 5, "full")
    data = data_bytes(replace(result, recipe=made.mapping()), ".csv")
    assert Recipe.read(read_recipe(data)) == made
    lines = data.decode().splitlines()
    assert lines[1].startswith("x (ℓ2 pixel),y (ℓ2 pixel),label,confidence (probability)")
    again = np.genfromtxt(io.StringIO("\n".join(lines[2:])), delimiter=",")
    assert again.shape[0] == 25
    np.testing.assert_allclose(again[:, 0], np.tile(result.x, 5), rtol=1e-8)
    assert data == data_bytes(replace(result, recipe=made.mapping(), seconds=9.0), ".csv")


def test_coordinates_of_a_deep_zoom_keep_their_digits() -> None:
    result = slice_plane(CLASSIFIER, PLANE, (0.4, 0.4 + 1e-9, 0.2, 0.2 + 1e-9), 5, "full")
    rows = [line.split(",")[0] for line in data_bytes(result, ".csv").decode().splitlines()[2:7]]
    assert [float(row) for row in rows] == result.x.tolist()


def test_both_kinds_of_files_hold_no_timings() -> None:
    result = slice_plane(CLASSIFIER, PLANE, (-1.0, 3.0, -1.0, 3.0), 5, "full")
    for ending in (".npz", ".csv"):
        assert data_bytes(result, ending) == data_bytes(replace(result, seconds=9.0), ending)


MAPPING = {"recipe": 1, "analysis": "slice", "models": ["demo:a/b", "c,d"]}


def two_slices(resolution: int = 5) -> list[Result]:
    other = truths.classifier(truths.NearestCentre(ANCHORS.flip(0)), (1, 4, 4))
    return [slice_plane(net, PLANE, (-1.0, 3.0, -1.0, 3.0), resolution, "full") for net in (CLASSIFIER, other)]


def test_the_tables_of_two_models_are_one_with_the_model_in_front() -> None:
    results = two_slices()
    lines = numbers_bytes(results, ["demo:a/b", "c,d"], MAPPING, ".csv").decode().splitlines()
    assert read_recipe("\n".join(lines).encode()) == MAPPING
    assert lines[1].startswith("model,x (ℓ2 pixel),y (ℓ2 pixel),label")
    rows = list(csv.reader(lines[2:]))
    assert [row[0] for row in rows] == ["demo:a/b"] * 25 + ["c,d"] * 25
    labels = np.array([int(row[3]) for row in rows]).reshape(2, 5, 5)
    for mine, result in zip(labels, results, strict=True):
        np.testing.assert_array_equal(mine, result.label)


def test_the_arrays_of_two_models_are_in_one_archive() -> None:
    results = two_slices()
    data = numbers_bytes(results, ["demo:a/b", "a-b"], MAPPING, ".npz")
    assert read_recipe(data) == MAPPING
    assert data == numbers_bytes([replace(one, seconds=9.0) for one in results], ["demo:a/b", "a-b"], MAPPING, ".npz")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        header = json.loads(str(archive["result"]))
        assert header["models"] == {"a-b": "demo:a/b", "a-b-1": "a-b"}
        for folder, result in zip(header["models"], results, strict=True):
            np.testing.assert_array_equal(archive[f"{folder}/logits"], result.logits)
            assert json.loads(str(archive[f"{folder}/result"]))["units"]["x"] == "ℓ2 pixel"


def test_no_name_of_a_model_is_a_formula_or_more_cells_than_one() -> None:
    result = replace(boundary_profile(CLASSIFIER, PLANE, 3), recipe={})
    models = ["=cmd|' /C calc'!A0", 'a",=1+1', "\uff1d1", "a\n=1"]
    recipe = {"recipe": 1, "models": models}
    data = numbers_bytes([result] * 4, models, recipe, ".csv")
    comment, head, *rows = csv.reader(io.StringIO(data.decode()))
    assert not any(cell.strip().startswith("=") for cell in comment)
    assert {len(row) for row in rows} == {len(head)}
    assert list(dict.fromkeys(row[0] for row in rows)) == ["'=cmd|' /C calc'!A0", 'a",=1+1', "'=1", "a =1"]
    assert read_recipe(data) == recipe


def test_one_model_alone_has_the_file_of_its_result() -> None:
    result = two_slices()[0]
    for ending in (".npz", ".csv"):
        assert numbers_bytes([result], ["m"], MAPPING, ending) == data_bytes(replace(result, recipe=MAPPING), ending)


def test_tables_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="tables of the same columns, got 2 kinds"):
        numbers_bytes([two_slices()[0], boundary_profile(CLASSIFIER, PLANE, 12)], ["a", "b"], MAPPING, ".csv")


def test_a_result_without_arrays_has_no_table() -> None:
    with pytest.raises(ValueError, match="arrays over one or two axes"):
        table_of(Result(forwards=0, gradients=0, seconds=0.0))
