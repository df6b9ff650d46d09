"""What slices of slow models take is estimated, and their first grid is coarser."""

from __future__ import annotations

from dashboard.state import speed_estimate


def test_a_slow_model_starts_with_a_coarser_grid_and_says_what_finer_ones_take() -> None:
    assert [speed_estimate.first_side(seconds) for seconds in (0.0, 0.002, 0.005, 0.01, 0.0446, 10.0)] == [
        512,
        512,
        256,
        128,
        64,
        64,
    ]
    assert speed_estimate.words(0.002) == ""
    assert "At 44.6 ms per image" in speed_estimate.words(0.0446)
    assert "about 57 s at 64 x 64" in speed_estimate.words(0.0446)
    assert "8 min at 512 x 512" in speed_estimate.words(0.0446)
