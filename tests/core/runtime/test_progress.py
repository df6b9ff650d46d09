"""Progress counts rows, and cancelling passes every `except Exception`."""

import pytest
import torch

from core.runtime.batches import Batches
from core.runtime.progress import Cancelled


def test_cancelling_passes_every_except_exception() -> None:
    def cancel(fraction: float) -> None:
        raise Cancelled

    assert not issubclass(Cancelled, Exception)
    with pytest.raises(Cancelled):
        Batches(2)(lambda part: part, torch.zeros(3, 1), cancel)


def test_progress_counts_rows() -> None:
    fractions: list[float] = []
    Batches(2)(lambda part: part, torch.zeros(6, 1), fractions.append)
    assert fractions == pytest.approx([0, 1 / 3, 2 / 3])
