"""Subspaces are projections: idempotent, symmetric, nested where they say so, and complete where they say so."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from core.analyses.prepare.directions import direction, parse_direction
from core.geometry.subspaces.subspaces import (
    Cosines,
    Subspaces,
    colour_axes,
    frequency_band,
    frequency_blocks,
    frequency_windows,
    patches,
    principal_components,
)
from core.images.load import load_images
from core.models.load import load_classifier
from tests import truths

ODD = (3, 10, 14)
FAMILIES: dict[str, Callable[[], Subspaces]] = {
    "windows": lambda: frequency_windows(ODD, 4, 2),
    "frequencies": lambda: frequency_blocks(ODD, 4),
    "patches": lambda: patches(ODD, 4),
    "colours": lambda: colour_axes(ODD),
    "principal": lambda: principal_components(truths.images(30, ODD)),
}


def each(family: Subspaces, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One random image in every subspace, with the numbers of these, and the projections."""
    images, which = truths.images(1, family.shape, seed).repeat(len(family), 1, 1, 1) - 0.5, torch.arange(len(family))
    return images, which, family.project(images, which)


@pytest.mark.parametrize("size", [8, 28, 224])
def test_the_cosines_are_orthonormal_and_those_of_scipy(size: int) -> None:
    basis = Cosines.of(size, size)
    torch.testing.assert_close(basis.rows @ basis.rows.T, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-13)
    images = truths.images(2, (3, size, size))
    np.testing.assert_allclose(basis.coefficients(images), dctn(images.numpy(), axes=(2, 3), norm="ortho"), atol=1e-11)
    torch.testing.assert_close(basis.images(basis.coefficients(images)), images)


@pytest.mark.parametrize("kind", FAMILIES)
def test_projections_are_idempotent_symmetric_and_as_large_as_their_dimension(kind: str) -> None:
    family = FAMILIES[kind]()
    images, which, inside = each(family)
    other, _, inside_other = each(family, seed=2)
    torch.testing.assert_close(family.project(inside, which), inside)
    torch.testing.assert_close((inside * other).flatten(1).sum(1), (images * inside_other).flatten(1).sum(1))
    # the trace of a projection is its dimension: summed over all unit images
    units = torch.eye(family.whole, dtype=torch.float64).view(-1, *family.shape)
    for number in (0, len(family) - 1):
        image = family.project(units, torch.full((family.whole,), number)).flatten(1)
        assert float(image.diagonal().sum()) == pytest.approx(family.dimension[number])
    assert family.kind == kind
    assert len(family.labels) == len(family.dimension) == len(family)


@pytest.mark.parametrize("kind", FAMILIES)
def test_projections_onto_a_complete_family_add_up_to_the_image(kind: str) -> None:
    family = FAMILIES[kind]()
    images, _, inside = each(family)
    assert family.complete == (kind != "windows")
    assert torch.allclose(inside.sum(0), images[0]) == family.complete
    whole = family.with_whole()
    assert whole.dimension[-1] == math.prod(ODD)
    assert not whole.complete
    assert whole.contained[:, -1].all()
    torch.testing.assert_close(whole.project(images[:1], torch.tensor([len(family)])), images[:1])


def test_a_family_knows_which_of_its_members_contain_which() -> None:
    windows = frequency_windows((1, 8, 8), 4, 4)
    assert windows.contained.equal(torch.eye(2, dtype=torch.bool))
    blocks = frequency_blocks((1, 8, 8), 4)
    both = Subspaces(
        kind="frequencies",
        basis=blocks.basis,
        masks=torch.cat([blocks.masks, frequency_windows((1, 8, 8), 6, 2).masks]),
        labels=("",) * 6,
        dimension=(16,) * 4 + (36,) * 2,
        bounds=(),
        shape=(1, 8, 8),
    )
    inside = [(i, j) for i in range(6) for j in range(6) if i != j and both.contained[i, j]]
    assert inside == [(0, 4), (3, 5)]


def test_bounds_name_the_frequencies_and_the_pixels() -> None:
    family = frequency_blocks(ODD, 4)
    assert len(family) == 3 * 4
    assert (family.bounds[0], family.bounds[-1]) == ((0, 4, 0, 4), (8, 10, 12, 14))
    assert (family.dimension[0], family.dimension[-1]) == (48, 12)
    assert family.labels[1] == "0–3 down, 4–7 across"
    images = load_images("demo:photos")
    atom = direction(parse_direction("dct:9,13"), load_classifier("demo:photos/standard", "cpu"), images, 0).vector[
        None
    ]
    blocks = frequency_blocks((3, 32, 32), 4)
    lengths = [float(blocks.project(atom, torch.tensor([number])).norm()) for number in range(len(blocks))]
    found = int(np.argmax(lengths))
    assert lengths[found] == pytest.approx(1)
    assert blocks.bounds[found] == (8, 12, 12, 16)
    patch = patches(ODD, 4)
    assert patch.labels[-1] == "rows 8–9, columns 12–13"
    image = patch.project(torch.ones(1, *ODD), torch.tensor([len(patch) - 1]))
    assert image[:, :, 8:, 12:].eq(1).all()
    assert image.sum() == 12


def test_colours_are_opponent_axes_and_other_channels_their_own() -> None:
    family = colour_axes((3, 4, 4))
    grey = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert torch.allclose(family.project(grey, torch.tensor([0])), grey)
    assert not family.project(grey, torch.tensor([1])).abs().gt(1e-12).any()
    parts = [float(family.project(red, torch.tensor([k])).square().sum()) / 16 for k in range(3)]
    assert parts == pytest.approx([1 / 3, 1 / 2, 1 / 6])
    assert colour_axes((1, 4, 4)).dimension == (16,)


def test_components_come_by_octaves_from_the_direction_of_most_variance() -> None:
    along, across = truths.unit((1, 6, 6), 1), truths.unit((1, 6, 6), 2)
    across -= (across * along).sum() * along
    across /= across.norm()
    steps = torch.linspace(-1, 1, 21, dtype=torch.float64).view(-1, 1, 1, 1)
    family = principal_components(0.5 + 3 * steps * along + steps.square() * across)
    assert family.labels == ("1", "2", "the rest")
    assert family.dimension == (1, 1, 34)
    for number, vector in enumerate((along, across)):
        projected = family.project(vector[None], torch.tensor([number]))
        torch.testing.assert_close(projected, vector[None], rtol=0, atol=1e-12)
    many = principal_components(load_images("demo:digits").pixels)
    assert many.labels[:5] == ("1", "2", "3–4", "5–8", "9–16")
    assert sum(many.dimension) == 1024
    assert many.complete


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: frequency_windows(ODD, 11, 1), "expected a window of 1 to 10"),
        (lambda: frequency_windows(ODD, 4, 0), "expected a stride of at least 1"),
        (lambda: frequency_blocks(ODD, 0), "expected a block of 1 to 10"),
        (lambda: patches(ODD, 15), "expected a block of 1 to 10"),
        (lambda: principal_components(torch.ones(5, 1, 4, 4)), "expected images that differ"),
    ],
)
def test_what_cannot_be_cut_is_refused(make: Callable[[], Subspaces], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_one_band_is_a_block_of_the_grid_and_ends_with_the_spectrum() -> None:
    images = truths.images(1, ODD)
    block = frequency_blocks(ODD, 4)
    band = frequency_band(ODD, 4, 8, 4)
    number = block.bounds.index((4, 8, 8, 12))
    expected = block.project(images, torch.tensor([number]))
    torch.testing.assert_close(band.project(images, torch.tensor([0])), expected)
    assert band.labels == (block.labels[number],)
    assert band.dimension == (48,)
    assert frequency_band(ODD, 8, 10).bounds == ((8, 10, 10, 14),)
    for down, across in ((10, 0), (0, 14), (-1, 0)):
        with pytest.raises(ValueError, match="expected a band that begins between 0,0 and 9,13"):
            frequency_band(ODD, down, across)
