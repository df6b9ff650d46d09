"""Named directions against closed forms, SciPy and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn, idctn
from sklearn.decomposition import PCA

from core.analyses.prepare.directions import (
    ARGUMENTS,
    DirectionSpec,
    Kind,
    direction,
    parse_direction,
    plane_of_directions,
    walk_direction,
)
from core.errors import ImageError
from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.level_sets.step import MODES
from core.geometry.level_sets.traverse import traverse
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.runtime.cost import Cost
from tests import truths
from tests.asked import ask

SHAPE = (3, 8, 6)


def a_set(count: int = 80, shape: tuple[int, ...] = SHAPE, classes: int = 2) -> ImageSet:
    labels = torch.arange(count) % classes
    names = tuple(f"image {row}" for row in range(count))
    pixels = truths.images(count, shape, dtype=torch.float32)
    return ImageSet(pixels, labels, names, tuple("abcdef"[:classes]), "test")


def affine(shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float64) -> tuple[Classifier, torch.Tensor]:
    weight = torch.stack([truths.unit(shape, seed) for seed in range(3)])
    module = truths.Affine(weight.flatten(1), torch.tensor([0.0, -0.1, 50.0], dtype=torch.float64))
    return truths.classifier(module, shape, dtype), weight


def of(text: str, images: ImageSet, row: int = 3) -> torch.Tensor:
    return direction(parse_direction(text), affine()[0], images, row).vector


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_gradients_of_an_affine_classifier_are_its_weight_differences(dtype: torch.dtype, cost: Cost) -> None:
    classifier, weight = affine(dtype=dtype)
    images = a_set()
    order = classifier(images.pixels[3:4].to(dtype))[0].argsort(descending=True).tolist()
    assert order[0] == 2
    for text, plus, minus in (("gradient", 2, order[1]), ("gradient:0", 0, 2), ("gradient:1", 1, 2)):
        found = direction(parse_direction(text), classifier, images, 3)
        expected = (weight[plus] - weight[minus]).to(dtype).double()
        tolerance = {torch.float32: 1e-7, torch.float64: 1e-15}[dtype]
        torch.testing.assert_close(found.vector, expected / expected.norm(), atol=tolerance, rtol=0)
        assert found.label == f"gradient of class {plus} − class {minus}"
    assert cost.gradients == 3
    assert all(parameter.grad is None for parameter in classifier.module.parameters())


def test_directions_without_a_model_cost_nothing(cost: Cost) -> None:
    for text in ("random:3", "image:5", "mean:0", "pca:2", "dct:1,2"):
        found = direction(parse_direction(text), affine()[0], a_set(), 3)
        assert (cost.gradients, cost.forwards) == (0, 0)
        assert found.vector.dtype == torch.float64
        assert found.vector.shape == SHAPE
        assert float(found.vector.norm()) == pytest.approx(1, abs=1e-14)


def test_random_directions_repeat_and_leave_the_global_generator_alone() -> None:
    images, state = a_set(), torch.get_rng_state()
    first, again, other = of("random:3", images), of("random:3", images, 7), of("random:4", images)
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert abs(float((first * other).sum())) < 0.5
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_lies_in_its_direction() -> None:
    images = a_set()
    expected = images.pixels[5].double() - images.pixels[3].double()
    torch.testing.assert_close(of("image:5", images), expected / expected.norm())
    assert direction(parse_direction("image:5"), affine()[0], images, 3).label == "towards b"


def test_a_pair_leads_to_the_partner_and_draws_it() -> None:
    images = replace(a_set(6), partners=(3, 4, -1, 0, 1, -1))
    for row, other in ((0, 3), (3, 0), (4, 1)):
        difference = images.pixels[other].double() - images.pixels[row].double()
        assert torch.allclose(of("pair", images, row), difference / difference.norm(), atol=1e-15, rtol=0)
    classifier, _ = affine()
    cut = ask(
        "slice",
        classifier,
        images,
        rows=[3],
        reference=classifier,
        plane="directions",
        u="pair",
        v="random:0",
        resolution=32,
    )
    assert cut.targets == (0,)
    with pytest.raises(ImageError, match="partner of image 2, the set holds none; bring both in an NPZ"):
        of("pair", images, 2)
    with pytest.raises(ImageError, match="partner of image 0"):
        of("pair", a_set(6), 0)


def test_means_are_those_of_the_true_labels() -> None:
    images = a_set()
    pixels = images.pixels.double()
    expected = pixels[::2].mean(0) - pixels[1::2].mean(0)
    torch.testing.assert_close(of("mean:0", images), expected / expected.norm())


def test_principal_directions_are_those_of_the_thirty_neighbours() -> None:
    images = a_set()
    pixels = images.pixels.double()
    alike = [row for row in range(1, 80, 2) if row != 3]
    alike.sort(key=lambda row: float((pixels[row] - pixels[3]).norm()))
    reference = PCA(5, svd_solver="full").fit(pixels[alike[:30]].flatten(1).numpy())
    for number, component in enumerate(reference.components_, start=1):
        found = of(f"pca:{number}", images).flatten().numpy()
        assert abs(found @ component) == pytest.approx(1, abs=1e-9)
        assert found[np.abs(found).argmax()] > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_dct_atoms_are_scipys_and_orthonormal(channels: int) -> None:
    height, width = 4, 5
    images = a_set(4, (channels, height, width))
    classifier, _ = affine((channels, height, width))
    atoms = []
    for p in range(height):
        for q in range(width):
            coefficient = np.zeros((height, width))
            coefficient[p, q] = 1
            expected = np.stack([idctn(coefficient, norm="ortho")] * channels) / np.sqrt(channels)
            atom = direction(DirectionSpec("dct", (p, q)), classifier, images, 0).vector
            np.testing.assert_allclose(atom.numpy(), expected, atol=1e-14)
            atoms.append(atom.flatten())
    table = torch.stack(atoms)
    torch.testing.assert_close(table @ table.T, torch.eye(height * width, dtype=torch.float64), atol=1e-14, rtol=0)


def test_a_random_direction_in_a_band_has_no_other_frequencies(cost: Cost) -> None:
    images = a_set(8, (3, 32, 32))
    classifier, _ = affine((3, 32, 32))
    spec = parse_direction("band:8,24,3")
    found = direction(spec, classifier, images, 3)
    coefficients = dctn(found.vector.numpy(), axes=(1, 2), norm="ortho")
    inside = coefficients[:, 8:16, 24:32]
    assert np.square(inside).sum() == pytest.approx(1)
    assert (np.abs(inside) > 0).all()
    assert (cost.forwards, cost.gradients) == (0, 0)
    assert found.label == "random 3 in frequencies 8–15 down, 24–31 across"
    other = direction(parse_direction("band:8,24,4"), classifier, images, 3)
    assert abs(float((found.vector * other.vector).sum())) < 0.5


def test_the_nearest_boundary_in_a_band_of_an_affine_model_lies_along_the_projected_weights() -> None:
    shape = (1, 16, 16)
    images = a_set(8, shape)
    classifier, weight = affine(shape)
    order = classifier(images.pixels[3:4].double())[0].argsort(descending=True).tolist()
    found = direction(parse_direction("band:0,8"), classifier, images, 3)
    expected = []
    for k in order[1:]:
        coefficients = dctn((weight[k] - weight[order[0]]).numpy(), axes=(1, 2), norm="ortho")
        coefficients[:, 8:], coefficients[:, :, :8] = 0, 0
        inside = idctn(coefficients, axes=(1, 2), norm="ortho")
        expected.append(inside / np.linalg.norm(inside))
    assert max(float((found.vector.numpy() * each).sum()) for each in expected) == pytest.approx(1, abs=1e-6)
    assert found.label.startswith("frequencies 0–7 down, 8–15 across, to class ")


def test_a_corruption_leads_to_the_corrupted_image() -> None:
    images = a_set()
    found = direction(parse_direction("corruption:fog"), affine()[0], images, 3)
    changed = corrupt(images.pixels[3:4], "fog", 3.0)[0].double() - images.pixels[3].double()
    torch.testing.assert_close(found.vector, changed / changed.norm(), atol=1e-12, rtol=0)
    assert found.label == "fog, severity 3"
    grey = ImageSet(torch.full_like(images.pixels, 0.5), images.labels, images.names, images.class_names, "test")
    with pytest.raises(ImageError, match="corruption:contrast is zero at image 3"):
        of("corruption:contrast", grey)


@pytest.mark.parametrize("text", ["walk:5", "walk:5,superlevel,20,30"])
def test_a_walk_leads_to_its_end(text: str, cost: Cost) -> None:
    classifier, _ = affine()
    images = a_set()
    found = direction(parse_direction(text), classifier, images, 3)
    spent = cost.forwards, cost.gradients
    settings = ("superlevel", 0.2, 30) if "," in text else ("equality", 0.05, 100)
    alone = traverse(classifier, images.pixels[[3]], images.pixels[[5]], settings[0], settings[1], settings[2])  # type: ignore[arg-type]
    change = torch.from_numpy(alone.endpoints[0]).double() - images.pixels[3].double()
    torch.testing.assert_close(found.vector, change / change.norm(), atol=1e-12, rtol=0)
    assert found.label == "end of the walk towards b"
    assert found.way is not None
    torch.testing.assert_close(found.way[0].float(), images.pixels[3], atol=0, rtol=0)
    assert spent == (alone.forwards, alone.gradients)
    with pytest.raises(ImageError, match="walk:3 is zero at image 3"):
        direction(parse_direction("walk:3"), classifier, images, 3)
    plane = plane_of_directions(classifier, images, 3, text, "image:5")
    assert [name for name, _ in plane.walks] == [text]


@given(st.integers(0, 10**6), st.sampled_from(MODES), st.integers(1, 99), st.integers(1, 2000))
def test_texts_of_walks_are_read_back(row: int, mode: str, percent: int, steps: int) -> None:
    text = walk_direction(row, mode, percent / 100, steps)
    spec = parse_direction(text)
    assert str(spec) == text
    assert spec.arguments[0] == row
    assert (text == f"walk:{row}") == ((mode, percent, steps) == ("equality", 5, 100))


def test_walks_that_no_text_names() -> None:
    assert walk_direction(5, "equality", 0.051, 100) == ""
    assert walk_direction(5, "equality", 0.0, 100) == ""
    assert walk_direction(5, "paper", 0.0, 3000) == ""
    for text in ("walk:", "walk:5,equality", "walk:5,odd,5,100", "walk:5,equality,0,100", "walk:5,paper,100,9"):
        with pytest.raises(ValueError, match="expected a direction out of"):
            parse_direction(text)


# -- planes -----------------------------------------------------------------------------------------------------------


def test_the_adversarial_direction_of_an_affine_model_is_its_gradients_and_costs_a_search(
    cost: Cost,
) -> None:
    images = a_set()
    classifier, _ = affine()
    found = direction(DirectionSpec("adversarial"), classifier, images, 3)
    assert cost.gradients > 1
    k = classifier.class_names.index(found.label.removeprefix("to the nearest boundary, "))
    towards = direction(DirectionSpec("gradient", (k,)), classifier, images, 3)
    torch.testing.assert_close(found.vector, towards.vector, atol=1e-5, rtol=0)


def test_where_no_boundary_is_there_is_no_adversarial_direction() -> None:
    flat = truths.classifier(truths.Affine(torch.zeros(2, 144), torch.tensor([1.0, 0.0])), SHAPE)
    with pytest.raises(ImageError, match="expected a boundary near image 3, none was found"):
        direction(DirectionSpec("adversarial"), flat, a_set(), 3)
    with pytest.raises(ImageError, match="expected a sparse perturbation of image 3, none was found"):
        direction(DirectionSpec("sparse"), flat, a_set(), 3)


def test_the_sparse_direction_changes_few_pixels(cost: Cost) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    found = direction(DirectionSpec("sparse"), classifier, images, 5)
    changed = int((found.vector != 0).any(0).sum())
    assert 0 < changed < 30
    assert found.label.startswith(f"{changed} pixels to ")
    assert cost.gradients > 0


def test_a_plane_of_two_directions_keeps_the_first_and_tells_the_angle(cost: Cost) -> None:
    images = a_set()
    classifier, _ = affine()
    found = plane_of_directions(classifier, images, 3, "random:1", "image:5")
    u, v = of("random:1", images), of("image:5", images)
    torch.testing.assert_close(found.plane.u, u)
    torch.testing.assert_close(found.plane.origin, images.pixels[3].double())
    assert np.cos(np.radians(found.angle)) == pytest.approx(float((u * v).sum()), abs=1e-12)
    assert float(found.plane.residual(images.pixels[5:6])) < 1e-12
    assert (found.plane.x_label, found.plane.y_label) == ("random 1", "towards b")
    assert plane_of_directions(classifier, images, 3, "dct:0,1", "dct:1,0").angle == pytest.approx(90)
    plane_of_directions(classifier, images, 3, "gradient:1", "gradient:0")
    assert (cost.gradients, cost.forwards) == (2, 2)


def test_every_kind_spans_a_plane_on_the_demo_model() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    for text in ("gradient:5", "image:9", "mean:2", "pca:1", "dct:2,3", "random:0", "adversarial", "sparse"):
        found = plane_of_directions(classifier, images, 100, "gradient", text)
        assert 1 < found.angle < 179


@pytest.mark.parametrize(
    ("u", "v", "message"),
    [
        ("random:1", "random:1", "random:1 and random:1 are parallel; change one"),
        ("image:3", "random:1", "image:3 is zero at image 3"),
        ("mean:1", "random:1", "mean:1 is zero at image 3"),
        ("image:80", "random:1", "expected rows from 0 to 79, got 80"),
        ("mean:7", "random:1", "a class that has images in the set, got 7"),
        ("gradient:2", "random:1", "another class than the predicted one for a gradient, got 2"),
        ("gradient:3", "random:1", "a class below 3 for a gradient, got 3"),
        ("dct:8,0", "random:1", "a DCT atom from 0,0 to 7,5, got 8,0"),
        ("band:0,6", "random:1", "a band that begins between 0,0 and 7,5, got 0,6"),
        ("pca:30", "random:1", "pca:30 to have more than 30 neighbours of the image's class, got 30"),
    ],
)
def test_directions_that_do_not_exist_are_told_in_one_sentence(u: str, v: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plane_of_directions(affine()[0], a_set(), 3, u, v)


def test_directions_between_classes_need_labels() -> None:
    images = a_set()
    unlabelled = ImageSet(images.pixels, torch.full((80,), -1), images.names, (), "test")
    for text in ("mean:0", "pca:1"):
        with pytest.raises(ImageError, match="expected an image of a known class, image 3 has none"):
            of(text, unlabelled)
    assert direction(parse_direction("image:5"), affine()[0], unlabelled, 3).label == "towards image 5"


def test_neighbours_that_are_all_alike_have_no_principal_direction() -> None:
    pixels = torch.full((10, *SHAPE), 0.25)
    pixels[:, 0, 0, 0] = torch.linspace(0, 1, 10)
    images = ImageSet(pixels, torch.zeros(10, dtype=torch.int64), tuple("abcdefghij"), ("x",), "test")
    assert float(of("pca:1", images)[0, 0, 0]) == pytest.approx(1)
    with pytest.raises(ImageError, match="spread in 2 directions, got fewer"):
        of("pca:2", images)


def test_a_classifier_that_is_flat_or_undefined_has_no_gradient() -> None:
    images = a_set()
    flat = truths.classifier(truths.Affine(torch.zeros(2, 144), torch.tensor([1.0, 0.0])), SHAPE)
    with pytest.raises(ImageError, match="gradient is zero at image 3"):
        direction(DirectionSpec("gradient"), flat, images, 3)
    undefined = truths.classifier(truths.Affine(torch.full((2, 144), torch.nan), torch.zeros(2)), SHAPE)
    with pytest.raises(ImageError, match="expected finite logits"):
        direction(DirectionSpec("gradient"), undefined, images, 3)


# -- texts ------------------------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 10**18 - 1)


@given(st.sampled_from([(kind, count) for kind, counts in ARGUMENTS.items() for count in counts]), NUMBERS, NUMBERS)
def test_texts_are_read_back(kind: tuple[Kind, int], first: int, second: int) -> None:
    arguments = (first or 1, second)[: kind[1]]
    spec = DirectionSpec(kind[0], arguments)
    assert parse_direction(str(spec)) == spec


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_names_of_corruptions_are_read_back(name: str) -> None:
    spec = parse_direction(f"corruption:{name}")
    assert spec == DirectionSpec("corruption", word=name)
    assert str(spec) == f"corruption:{name}"


@given(st.one_of(st.text(), st.from_regex(r"[a-z]{3,8}(:[-+0-9, ٣.]*)?", fullmatch=True)))
def test_a_text_is_read_exactly_or_refused_in_one_sentence(text: str) -> None:
    said = ""
    try:
        read = str(parse_direction(text))
    except ValueError as error:
        read, said = text, str(error)
    assert read == text
    assert not said or said.startswith("expected a direction out of gradient, ")
    assert len(said) < 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gradient:",
        "gradient:-1",
        "random",
        "random:01",
        "pca:0",
        "dct:1",
        "dct:1,2,3",
        "image:1 ",
        "corruption",
        "corruption:",
        "corruption:snow",
        "corruption:3",
        "band:1",
    ],
)
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a direction out of"):
        parse_direction(text)
