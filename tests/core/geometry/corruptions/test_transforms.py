"""PRIME as v2 transforms: inside a Compose, on images and batches, replayed, in workers."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from core.errors import ImageError
from core.geometry.corruptions.transforms import (
    ColourTransform,
    PerImage,
    PrimeTransform,
    SpatialTransform,
    SpectralTransform,
)
from tests import truths

KINDS = (SpectralTransform, SpatialTransform, ColourTransform, PrimeTransform)


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_of_a_batch_is_transformed_by_itself(kind: type[PerImage]) -> None:
    images = truths.images(1, (3, 16, 16)).float().expand(4, -1, -1, -1)
    transform = kind(seed=5)
    made, later = transform(images), transform(images)
    assert made.shape == images.shape
    assert len(torch.unique(torch.cat([made, later]), dim=0)) == 8
    torch.testing.assert_close(kind(seed=5)(images), made, rtol=0, atol=0)
    assert not torch.equal(kind(seed=6)(images), made)
    assert kind(seed=5)(images[0]).shape == (3, 16, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_drawn_is_applied_again(kind: type[PerImage]) -> None:
    images, transform = truths.images(3, (3, 16, 16)).float(), kind(seed=1)
    params = transform.make_params([images])
    torch.testing.assert_close(transform.transform(images, params), params["drawn"](images), rtol=0, atol=0)
    torch.testing.assert_close(kind(seed=1)(images), params["drawn"](images), rtol=0, atol=0)


def test_in_a_compose_labels_pass_and_images_stay_images() -> None:
    pipeline = v2.Compose([v2.ToDtype(torch.float32, scale=True), PrimeTransform(seed=2)])
    pixels = tv_tensors.Image((truths.images(1, (3, 16, 16))[0] * 255).to(torch.uint8))
    made, label = pipeline(pixels, 7)
    assert isinstance(made, tv_tensors.Image)
    assert made.dtype == torch.float32
    assert label == 7
    scaled = v2.functional.to_dtype(pixels, torch.float32, scale=True).as_subclass(Tensor)
    plain, classes = PrimeTransform(seed=2)(scaled[None], torch.tensor([7]))
    torch.testing.assert_close(plain[0], made.as_subclass(Tensor), rtol=0, atol=0)
    assert classes.tolist() == [7]


def test_a_copy_goes_on_where_it_was_copied() -> None:
    images, transform = truths.images(2, (1, 8, 8)).float(), ColourTransform(seed=3)
    transform(images)
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        torch.testing.assert_close(other(images), copy.deepcopy(transform)(images), rtol=0, atol=0)


class Grey(Dataset[Tensor]):
    def __init__(self) -> None:
        self.transform = SpectralTransform(seed=0)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> Tensor:
        made: Tensor = self.transform(truths.images(1, (1, 8, 8)).float()[0])
        return made


def test_workers_and_epochs_draw_differently() -> None:
    loader = DataLoader(Grey(), batch_size=1, num_workers=2, generator=torch.Generator().manual_seed(0))
    seen = torch.cat([*loader, *loader])
    assert len(torch.unique(seen, dim=0)) == 8


def test_wrong_calls_are_told_what_is_wrong() -> None:
    with pytest.raises(ImageError, match="floats"):
        PrimeTransform()(torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ImageError, match="8 x 8"):
        PrimeTransform()(torch.zeros(8, 8))
