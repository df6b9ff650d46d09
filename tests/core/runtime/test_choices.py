"""Measured choices survive the process, and a damaged or missing file only means measuring again."""

from pathlib import Path

import torch

from core.runtime.batches import BatchShapes


def test_a_damaged_file_of_choices_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    path.write_text("{broken")
    assert BatchShapes(path).get("net", lambda size: None, torch.device("cpu")) >= 16
    assert "net" in path.read_text()


def test_choices_that_cannot_be_kept_are_measured_anyway(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shapes = BatchShapes(tmp_path / "file" / "shapes.json")
    assert shapes.get("net", lambda size: None, torch.device("cpu")) >= 16
