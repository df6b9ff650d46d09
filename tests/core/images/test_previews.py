"""Previews of pictures: what is kept is framed, what is cut off is faded."""

from __future__ import annotations

import numpy as np
import pytest

from core.images.previews import FRAME, preview


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_box_is_framed_and_the_rest_is_faded(dtype: type, channels: int) -> None:
    values = np.full((30, 60, channels), 200 if dtype is np.uint8 else 200 / 255, dtype)
    shown = preview(values[:, :, 0] if channels == 1 else values, (15.0, 0.0, 45.0, 30.0), longest=120)
    assert (shown.shape, shown.dtype) == ((60, 120, 3), np.uint8)
    np.testing.assert_array_equal(shown[10, 10], round(0.4 * 200 + 0.6 * 128))
    np.testing.assert_array_equal(shown[10, 60], 200)
    framed = (shown == FRAME).all(2)
    assert framed[:, [30, 89]].all()
    assert framed[[0, 59], 30:90].all()
    assert framed.sum() == 2 * 60 + 2 * 58


def test_a_whole_picture_has_no_frame_and_small_pixels_stay_squares() -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    shown = preview(values, (0.0, 0.0, 3.0, 4.0), longest=40)
    np.testing.assert_array_equal(shown, values.repeat(10, 0).repeat(10, 1))
    assert preview(np.zeros((2000, 1, 3), np.uint8), (0.0, 0.0, 1.0, 2000.0), longest=40).shape == (40, 1, 3)
