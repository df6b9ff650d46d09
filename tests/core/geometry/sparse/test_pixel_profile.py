"""One pixel's profile against the logits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import ImageError
from core.geometry.sparse.pixel_profile import PixelProfile, pixel_profile
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.truths import BatchSize


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(("shape", "dtype"), [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES])
def test_lines_of_a_plane_are_straight(
    shape: tuple[int, int, int], dtype: torch.dtype, size: int, batch_size: BatchSize
) -> None:
    batch_size(size)
    weight = 3 * truths.unit(shape, 1)
    image = truths.images(1, shape)[0]
    bias = 0.1 + (weight * image).sum()
    module = truths.Affine(torch.stack([0 * weight.flatten(), weight.flatten()]), torch.stack([bias, 0 * bias]))
    found = pixel_profile(truths.classifier(module, shape, dtype), image.to(dtype), 4, 7, resolution=9)
    channels = shape[0]
    assert found.lines == (*(f"channel {each}" for each in range(channels)), *(("grey",) if channels > 1 else ()))
    assert found.source_class == 0
    np.testing.assert_allclose(found.value, np.linspace(0, 1, 9), rtol=1e-6)
    slope, pixel = weight[:, 4, 7].numpy(), image[:, 4, 7].numpy()
    moved = found.value[None] - pixel[:, None]
    lines = [0.1 - slope[each] * moved[each] for each in range(channels)]
    if channels > 1:
        lines.append(0.1 - (slope[:, None] * moved).sum(0))
    np.testing.assert_allclose(found.margin, lines, atol=1e-5 if dtype == torch.float32 else 1e-12)
    np.testing.assert_array_equal(found.label, found.margin < 0)
    np.testing.assert_array_equal(found.decides, (found.margin < 0).any(1))
    np.testing.assert_allclose(found.pixel, pixel, rtol=1e-6)
    assert found.forwards >= 1 + len(found.lines) * 9


class Hole(nn.Module):
    """No logits where pixel 0 is above 0.5."""

    def forward(self, images: Tensor) -> Tensor:
        first = images.flatten(1)[:, :1]
        return torch.cat([first + 1, 0 * first], 1).masked_fill(first > 0.5, torch.nan)


def test_undefined_points_are_gaps_and_wrong_calls_are_told() -> None:
    classifier = truths.classifier(Hole(), (1, 2, 2), torch.float64)
    image = torch.full((1, 2, 2), 0.25, dtype=torch.float64)
    found = pixel_profile(classifier, image, 0, 0, resolution=5)
    np.testing.assert_array_equal(np.isnan(found.margin), [[False, False, False, True, True]])
    np.testing.assert_array_equal(found.label, [[0, 0, 0, -1, -1]])
    assert not found.decides.any()
    with pytest.raises(ImageError, match="finite logits"):
        pixel_profile(classifier, image + 0.5, 0, 0)
    with pytest.raises(ValueError, match="2 rows and 2 columns"):
        pixel_profile(classifier, image, 2, 0)
    with pytest.raises(ValueError, match="at least two values"):
        pixel_profile(classifier, image, 0, 0, resolution=1)


def test_demo_photos_and_back_from_a_file() -> None:
    classifier, image = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels[7]
    found = pixel_profile(classifier, image, 16, 16, resolution=16)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, PixelProfile)
    np.testing.assert_array_equal(again.margin, found.margin)
    assert again.lines == ("channel 0", "channel 1", "channel 2", "grey")
    point = image.clone()
    point[:, 16, 16] = float(found.value[5])
    logits = classifier(point[None])[0].double()
    source = found.source_class
    others = torch.cat([logits[:source], logits[source + 1 :]])
    np.testing.assert_allclose(found.margin[3, 5], float(logits[source] - others.max()), atol=1e-4)
