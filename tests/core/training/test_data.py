"""The data of the demo models: honest splits, exact averages, the same images each time."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.sources.models import ASSETS
from core.training import data as demo_data


@pytest.fixture(scope="module")
def photos() -> demo_data.DemoData:
    return demo_data.DATA["photos"]()


@pytest.fixture(scope="module")
def digits() -> demo_data.DemoData:
    return demo_data.DATA["digits"]()


@functools.cache
def changed(name: str) -> demo_data.DemoData:
    return demo_data.DATA[f"digits-{name}"]()


def spectrum(images: torch.Tensor) -> np.ndarray:
    from scipy.fft import dctn

    return np.asarray(dctn(images.double().numpy(), axes=(-2, -1), norm="ortho"))


def shipped(name: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(ASSETS / "images" / f"{name}.safetensors")


# -- photos -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", demo_data.PHOTOS)
def test_training_and_test_share_no_column(name) -> None:
    shape = demo_data.photograph(name).shape
    used = {}
    for part in ("training", "test"):
        crops = demo_data.draw_crops(shape, part, 5000, torch.Generator().manual_seed(0))
        tops, lefts, sides = crops.T
        assert sides.min() == 48
        assert sides.max() == 96
        assert tops.min() >= 0
        assert (tops + sides).max() <= shape[0]
        used[part] = {column for left, side in zip(lefts, sides, strict=True) for column in range(left, left + side)}
    assert not used["training"] & used["test"]
    assert max(used["training"]) < demo_data.columns(shape[1], "test")[0] <= min(used["test"])
    assert demo_data.columns(shape[1], "test") == (int(0.7 * shape[1]), shape[1])
    assert used["training"] | used["test"] == set(range(shape[1]))


@pytest.mark.parametrize("side", [32, 48, 53, 64, 96])
def test_a_patch_is_the_area_average_of_its_crop(side) -> None:
    photo = np.random.default_rng(side).integers(0, 256, (110, 120, 3), dtype=np.uint8)
    patch = demo_data.Patches(photo).cut(np.array([[7, 11, side]]))
    crop = torch.from_numpy(photo[7 : 7 + side, 11 : 11 + side]).permute(2, 0, 1)[None].double()
    exact = F.interpolate(crop, size=(32, 32), mode="area")
    assert torch.equal(torch.from_numpy(patch), (exact + 0.5).floor().byte())


def test_shipped_patches_are_what_their_origins_say() -> None:
    stored = shipped("photos")
    split = {name: demo_data.columns(demo_data.photograph(name).shape[1], "test")[0] for name in demo_data.PHOTOS}
    for label, name in enumerate(demo_data.PHOTOS):
        rows = stored["labels"] == label
        origins = stored["origins"][rows].numpy()
        assert len(origins) == 60
        assert origins[:, 1].min() >= split[name]
        again = demo_data.Patches(demo_data.photograph(name)).cut(origins).astype(int)
        # Decoders of JPEG may round differently by a level or two; PNG is exact.
        tolerance = 2 if name in {"hubble", "retina", "rocket", "china", "flower"} else 0
        assert np.abs(again - stored["pixels"][rows].numpy()).max() <= tolerance


def test_held_out_patches_are_cut_the_same_each_time(photos) -> None:
    assert torch.equal(photos.test_origins, shipped("photos")["origins"])
    assert torch.equal(photos.test_labels, shipped("photos")["labels"])


def test_an_epoch_holds_as_many_patches_of_every_photograph(photos) -> None:
    images, labels = photos.epoch(torch.Generator().manual_seed(3))
    again, _ = photos.epoch(torch.Generator().manual_seed(3))
    other, _ = photos.epoch(torch.Generator().manual_seed(4))
    assert images.shape[1:] == (3, 32, 32)
    assert labels.bincount().unique().tolist() == [len(images) // 9]
    assert torch.equal(images, again)
    assert not torch.equal(images, other)


# -- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_enlarged(digits) -> None:
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    stored = shipped("digits")
    rows = stored["origins"][:, 0].numpy()
    assert len(set(rows.tolist())) == 500
    assert np.array_equal(stored["labels"].numpy(), labels[rows])
    assert torch.equal(stored["pixels"], digits.test_images)
    # Enlarging fourfold, pixel (4 i + 1, 4 j + 1) lies 1/8 of a cell above and left of the middle of cell (i, j).
    cells = levels[rows].reshape(-1, 8, 8)
    i, j = 3, 4
    near = cells[:, i - 1 : i + 1, j - 1 : j + 1] / 16
    weights = np.outer([1 / 8, 7 / 8], [1 / 8, 7 / 8])
    exact = (near * weights).sum((1, 2)) * 255
    assert np.abs(stored["pixels"][:, 0, 4 * i + 1, 4 * j + 1].numpy() - exact).max() <= 0.5 + 1e-9


def test_digits_are_split_evenly_without_overlap(digits) -> None:
    images, labels = digits.epoch(torch.Generator())
    assert len(images) == 1297
    assert (labels.bincount() / 1297 - digits.test_labels.bincount() / 500).abs().max() < 0.002
    training = {image.numpy().tobytes() for image in images}
    assert not training & {image.numpy().tobytes() for image in digits.test_images}


# -- digits with other frequencies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("size", [8, 32])
def test_low_passed_images_hold_nothing_above_the_band(count, size) -> None:
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    inside = 0.5 + (images - 0.5) / size  # so flat that filtering stays in [0, 1]: once is enough
    low = demo_data.low_passed(inside, 4)
    exact = spectrum(inside)
    exact[..., 4:, :] = exact[..., :, 4:] = 0
    assert np.abs(spectrum(low) - exact).max() < 1e-12
    hard = demo_data.low_passed(images.round(), 4)  # black and white: filtering leaves [0, 1]
    assert hard.min() >= 0
    assert hard.max() <= 1
    above = spectrum(hard)
    above[..., :4, :4] = 0
    assert np.square(above).sum() < 1e-4 * images.round().square().sum()


@pytest.mark.parametrize("count", [1, 5])
def test_flipped_images_hold_their_frequencies_in_the_other_order(count) -> None:
    images = 0.5 + 0.02 * torch.rand(count, 2, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = demo_data.flipped(images)
    assert np.abs(spectrum(turned - 0.5) - spectrum(images - 0.5)[..., ::-1, ::-1] / 2).max() < 1e-12
    assert (demo_data.flipped(turned) - 0.5 - (images - 0.5) / 4).abs().max() < 1e-12  # as it was, twice halved
    lengths = [(each - 0.5).norm() for each in (turned, images)]
    assert lengths[0].item() == pytest.approx(lengths[1].item() / 2)


@pytest.mark.parametrize(("name", "change"), [("lowpass", demo_data.low_passed), ("flipped", demo_data.flipped)])
def test_other_digits_are_the_same_digits_changed(name, change, digits) -> None:
    data = changed(name)
    assert torch.equal(data.test_labels, digits.test_labels)
    assert torch.equal(data.test_origins, digits.test_origins)
    stored = shipped(f"digits-{name}")
    assert torch.equal(stored["pixels"], data.test_images)
    assert torch.equal(stored["labels"], data.test_labels)
    for mine, theirs in ((data.test_images, digits.test_images), (data.epoch(None)[0], digits.epoch(None)[0])):
        again = (change(theirs.double() / 255) * 255).round()  # of images rounded already
        assert (again - mine).abs().max() <= 3


def test_how_much_of_the_digits_is_removed_and_cut(digits) -> None:
    sets = (digits, changed("lowpass"), changed("flipped"))
    images, low, turned = (data.epoch(torch.Generator())[0] / 255 for data in sets)
    energy = np.square(spectrum(images)).mean((0, 1))
    energy[0, 0] = 0
    band = np.zeros((32, 32), dtype=bool)
    band[: demo_data.BANDWIDTH, : demo_data.BANDWIDTH] = True
    assert 0.08 < energy[~band].sum() / energy.sum() < 0.12
    left = np.square(spectrum(low)).mean((0, 1))[~band].sum()
    assert left < 2e-4 * energy[~band].sum()  # rounding to 8 bits
    assert ((turned == 0) | (turned == 1)).float().mean() < 3e-4
    assert np.square(spectrum(turned - 0.5)).mean((0, 1))[:16, :16].sum() < 0.002 * energy.sum()
