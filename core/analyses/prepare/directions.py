"""Directions at an image, named by short texts that travel in recipes and links, never as arrays.

A direction is a vector d of image space with ||d||_2 = 1 over pixels in [0, 1]:

- `gradient`: of the margin z_a - z_b at the image, where a and b are its two largest logits: away from the runner-up;
- `gradient:K`: of z_K - z_a: towards class K;
- `adversarial`: to the nearest boundary point of `core.geometry.boundary.deepfool`, where it found one;
- `sparse`: to an image of another class in which few pixels differ, as `core.geometry.sparse.sparse_perturbation` finds
  it by default;
- `random:SEED`: Gaussian, so uniform on the sphere;
- `image:ROW`: towards another image of the set;
- `pair`: towards the image's partner, where the set holds pairs of clean and adversarial images;
- `walk:ROW`: to the end of a walk on the image's level set towards another image of the set (`core.geometry.
  level_sets`): along it, 100 steps, a delta of 5 %; `walk:ROW,MODE,PERCENT,STEPS`: another walk;
- `mean:K`: from the mean of the image's class to the mean of class K, over the set's true labels;
- `pca:I`: the I-th principal direction of the 30 images of its class that are nearest to the image, itself left out:
  where the data near it lie;
- `dct:P,Q`: the 2D-DCT-II atom cos(pi (2 y + 1) P / 2 h) cos(pi (2 x + 1) Q / 2 w), the same in every channel;
- `band:P,Q`: to the nearest boundary inside the band of 8 x 8 frequencies from P half waves down and Q across, as
  `core.geometry.subspaces.subspace_distances` finds it; `band:P,Q,SEED`: Gaussian inside that band;
- `corruption:NAME`: to the image itself at severity 3 of a corruption of `core.geometry.corruptions.corruptions`, with
  seed 0.

Signs are fixed: a principal direction's component of largest magnitude is positive.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from core.analyses.parameters import CORRUPTED, DIRECTIONS
from core.errors import ImageError
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.level_sets.step import MODES, Mode
from core.geometry.level_sets.traverse import traverse
from core.geometry.planes.planes import Plane
from core.geometry.sparse.sparse_perturbation import sparse_perturbation
from core.geometry.subspaces.subspace_distances import subspace_distances
from core.geometry.subspaces.subspaces import frequency_band
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.runtime.cost import count_passes

Kind = Literal[
    "gradient", "adversarial", "sparse", "random", "image", "pair", "walk", "mean", "pca", "dct", "band", "corruption"
]

ARGUMENTS = {
    "gradient": (0, 1),
    "adversarial": (0,),
    "sparse": (0,),
    "random": (1,),
    "image": (1,),
    "pair": (0,),
    "walk": (1,),
    "mean": (1,),
    "pca": (1,),
    "dct": (2,),
    "band": (2, 3),
}
KNOWN = f"{DIRECTIONS}, {CORRUPTED}"
DEFAULT: tuple[Mode, float, int] = ("equality", 0.05, 100)  # mode, delta and steps of a walk that names none
TOWARDS = 3.0  # severity of the corrupted image that a direction leads to
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")  # no leading zeros; 18 digits stay below 2^63, the largest seed
_NEIGHBOURS = 30
_MOST_STEPS = 2000  # of a walk
_FLAT = 1e-10  # a principal direction with less of the largest spread is rounding


@dataclass(frozen=True)
class DirectionSpec:
    """The parsed text of a direction; `str` gives the text that `parse_direction` reads."""

    kind: Kind
    arguments: tuple[int, ...] = ()
    word: str = ""  # of a corruption, or the mode of a walk

    def __str__(self) -> str:
        words = [*map(str, self.arguments[:1]), *filter(None, [self.word]), *map(str, self.arguments[1:])]
        return f"{self.kind}:{','.join(words)}" if words else self.kind


class Direction(NamedTuple):
    """A direction, with the label of its axis."""

    vector: Tensor  # float64 (c, h, w), unit length
    label: str
    way: Tensor | None = None  # (m, c, h, w) images of a walk, its end last


class DirectionPlane(NamedTuple):
    """The plane of an image and two directions; its axis labels are the directions' own."""

    plane: Plane
    angle: float  # degrees between the two directions, before the second was made orthogonal to the first
    walks: tuple[tuple[str, Tensor], ...] = ()  # of directions that are walks: their texts and images


def parse_direction(text: str) -> DirectionSpec:
    """Read the text of a direction.

    >>> parse_direction("dct:0,3")
    DirectionSpec(kind='dct', arguments=(0, 3), word='')

    Args:
        text: one of the forms at the top of this module, numbers without leading zeros.

    Returns:
        Its kind, with numbers and a word where it has them.

    Raises:
        ValueError: if it is none of them.
    """
    kind, colon, rest = text.partition(":")
    if kind == "corruption" and rest in CORRUPTIONS:
        return DirectionSpec("corruption", word=rest)
    if kind == "walk" and rest.count(",") == 3:
        row, mode, *others = rest.split(",")
        if mode in MODES and all(map(_NUMBER.fullmatch, (row, *others))) and walk_fits(mode, *map(int, others)):
            return DirectionSpec("walk", tuple(map(int, (row, *others))), mode)
    numbers = rest.split(",") if colon else []
    fits = len(numbers) in ARGUMENTS.get(kind, ()) and all(map(_NUMBER.fullmatch, numbers))
    if not fits or (kind == "pca" and numbers == ["0"]):
        raise ValueError(f"expected a direction out of {KNOWN}, got {text[:40]!r}")
    return DirectionSpec(cast(Kind, kind), tuple(map(int, numbers)))


def direction(spec: DirectionSpec, classifier: Classifier, images: ImageSet, row: int) -> Direction:
    """The direction of a name at an image.

    Args:
        spec: see `parse_direction`.
        classifier: whose gradient, boundary and class names are used.
        images: the whole set.
        row: of the image in the set.

    Returns:
        A float64 unit vector on the CPU, with the label of its axis.

    Raises:
        ImageError: if the image or the set has no such direction, or it is zero there.
        ValueError: if a class, a frequency or a component of that number does not exist.
    """
    here = _exact(images[row].pixels)[0]
    way = None
    match spec.kind, spec.arguments:
        case "gradient", towards:
            vector, label = _gradient(classifier, images.pixels[row], *towards)
        case "adversarial", ():
            vector, label = _adversarial(classifier, images, row)
        case "sparse", ():
            vector, label = _sparse(classifier, images, row)
        case "random", (seed,):
            generator = torch.Generator().manual_seed(seed)
            vector, label = torch.randn(here.shape, generator=generator, dtype=torch.float64), f"random {seed}"
        case "image", (other,):
            vector, label = _exact(images[other].pixels)[0] - here, f"towards {images.words[other]}"
        case "pair", ():
            vector, label = _exact(images[partner(images, row)].pixels)[0] - here, "towards its partner"
        case "walk", (other, *settings):
            walk = (cast(Mode, spec.word), settings[0] / 100, settings[1]) if settings else DEFAULT
            way = walk_to(classifier, images, row, other, *walk)
            vector, label = _exact(way[-1]) - here, f"end of the walk towards {images.words[other]}"
        case "mean", (k,):
            vector, label = _mean_difference(images, row, k)
        case "pca", (number,):
            vector, label = _principal(images, row, number)
        case "band", (p, q, *seed):
            vector, label = _in_band(classifier, images, row, (p, q), *seed)
        case "corruption", ():
            vector, label = _corrupted(images, row, spec.word)
        case _, (p, q):
            vector, label = _dct_atom(tuple(here.shape), p, q), f"DCT atom {p}, {q}"
        case _:
            raise ValueError(f"expected a direction out of {KNOWN}, got {str(spec)[:40]!r}")
    length = float(vector.norm())
    if length == 0:
        raise ImageError(f"expected a direction of some length, {spec} is zero at image {row}; choose another one")
    return Direction(vector / length, label, way)


def partner(images: ImageSet, row: int) -> int:
    """The row of an image's partner.

    Args:
        images: the whole set.
        row: of the image.

    Raises:
        ImageError: if the set holds no pairs, or not this image's partner.
    """
    found = images.partners[row] if images.partners else -1
    if found < 0:
        raise ImageError(
            f"expected a clean or adversarial partner of image {row}, the set holds none; bring both in an NPZ"
        )
    return found


def plane_of_directions(classifier: Classifier, images: ImageSet, row: int, u: str, v: str) -> DirectionPlane:
    """The plane at an image spanned by two named directions.

    Args:
        classifier: whose gradients are taken.
        images: the whole set.
        row: of the image that becomes the origin.
        u: text of the first direction, which is kept.
        v: text of the second one, which is made orthogonal to it.

    Returns:
        The plane, with the angle between v and u.

    Raises:
        ImageError: if a direction is zero or does not exist here, or the two are parallel.
        ValueError: if a text names no direction.
    """
    first, second = (direction(parse_direction(text), classifier, images, row) for text in (u, v))
    cosine = float((first.vector * second.vector).sum())
    try:
        plane = Plane.spanned(
            images.pixels[row], first.vector, second.vector, x_label=first.label, y_label=second.label
        )
    except ImageError as error:
        raise ImageError(f"expected two directions that span a plane, {u} and {v} are parallel; change one") from error
    return DirectionPlane(
        plane,
        math.degrees(math.acos(min(1.0, max(-1.0, cosine)))),
        tuple((text, one.way) for text, one in ((u, first), (v, second)) if one.way is not None),
    )


def walk_direction(row: int, mode: str, delta: float, steps: int) -> str:
    """The text of the direction to the end of a walk.

    >>> walk_direction(17, "equality", 0.05, 100), walk_direction(17, "paper", 0.2, 400)
    ('walk:17', 'walk:17,paper,20,400')

    Args:
        row: of the target.
        mode: of the walk.
        delta: what its confidence may lose.
        steps: most steps of it.

    Returns:
        What `parse_direction` reads; "" where delta is no whole percentage, which no text names.
    """
    percent = round(100 * delta)
    if abs(percent - 100 * delta) > 1e-9 or not walk_fits(mode, percent, steps):
        return ""
    return f"walk:{row}" if (mode, delta, steps) == DEFAULT else f"walk:{row},{mode},{percent},{steps}"


def walk_fits(mode: str, percent: int, steps: int) -> bool:
    """Whether walks of this mode can have a delta of `percent` and this number of steps."""
    return (1 if mode == "equality" else 0) <= percent < 100 and 1 <= steps <= _MOST_STEPS


def walk_to(
    classifier: Classifier, images: ImageSet, row: int, target: int, mode: Mode, delta: float, steps: int
) -> Tensor:
    """The walk on a level set from one image of a set towards another.

    Args:
        classifier: whose level set is walked on.
        images: the whole set.
        row: of the source.
        target: row of the target.
        mode: see `core.geometry.level_sets.traverse.traverse`.
        delta: see there.
        steps: see there.

    Returns:
        (m, c, h, w) images on the way, the source first and the end last, on the CPU.

    Raises:
        ImageError: if it never began or the target is not in the set.
    """
    if target >= len(images):
        raise ImageError(f"expected a target below {len(images)}, the size of the set, got {target}")
    found = traverse(classifier, images.pixels[[row]], images.pixels[[target]], mode, delta, steps)
    if not np.isfinite(found.endpoints).all():
        raise ImageError(
            f"expected a walk from image {row} to {target}, it never began ({found.status[0]}); choose another"
        )
    passed = found.frames < found.taken[0]
    return torch.from_numpy(np.concatenate([found.snapshots[0][passed], found.endpoints]))


def _gradient(classifier: Classifier, image: Tensor, towards: int | None = None) -> tuple[Tensor, str]:
    """Gradient of a difference of two logits: largest minus second, or class `towards` minus largest."""
    if towards is not None and towards >= classifier.num_classes:
        raise ValueError(f"expected a class below {classifier.num_classes} for a gradient, got {towards}")
    with torch.enable_grad():
        pixels = classifier.accept(image[None]).clone().requires_grad_()
        count_passes(forwards=1, gradients=1)
        logits = classifier(pixels)[0]
        if not bool(torch.isfinite(logits).all()):
            raise ImageError("expected finite logits to take a gradient of, got NaN or infinity; choose another image")
        top, second = logits.detach().topk(2).indices.tolist()
        plus, minus = (top, second) if towards is None else (towards, top)
        if plus == minus:
            raise ImageError(f"expected another class than the predicted one for a gradient, got {towards} itself")
        (gradient,) = torch.autograd.grad(logits[plus] - logits[minus], pixels)
    names = classifier.class_names
    return gradient[0].to("cpu", torch.float64), f"gradient of {names[plus]} − {names[minus]}"


def _adversarial(classifier: Classifier, images: ImageSet, row: int) -> tuple[Tensor, str]:
    found = boundary_points(classifier, images.pixels[[row]])
    if not found.found[0]:
        raise ImageError(f"expected a boundary near image {row}, none was found; choose another direction or image")
    label = f"to the nearest boundary, {classifier.class_names[found.target_class[0]]}"
    point = torch.from_numpy(found.points[0]).to(torch.float64)
    return point - _exact(images[row].pixels)[0], label


def _sparse(classifier: Classifier, images: ImageSet, row: int) -> tuple[Tensor, str]:
    found = sparse_perturbation(classifier, images.pixels[[row]])
    if not found.found[0]:
        raise ImageError(f"expected a sparse perturbation of image {row}, none was found; choose another direction")
    label = f"{found.pixels[0]:.0f} pixels to {classifier.class_names[found.target_class[0]]}"
    point = torch.from_numpy(found.adversarial[0]).to(torch.float64)
    return point - _exact(images[row].pixels)[0], label


def _in_band(
    classifier: Classifier, images: ImageSet, row: int, start: tuple[int, int], seed: int | None = None
) -> tuple[Tensor, str]:
    """The smallest change inside a band of frequencies that meets the boundary; with a seed, a random one."""
    band = frequency_band(tuple(images.pixels.shape[1:]), *start)
    if seed is not None:
        noise = torch.randn(1, *band.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        inside = band.to(noise.device, noise.dtype).project(noise, torch.zeros(1, dtype=torch.int64))[0]
        return inside, f"random {seed} in frequencies {band.labels[0]}"
    found = subspace_distances(classifier, images.pixels[[row]], subspaces=band)
    if not found.found[0, 0]:
        raise ImageError(f"expected a boundary inside {band.labels[0]} of image {row}, none was found; choose another")
    label = f"frequencies {band.labels[0]}, to {classifier.class_names[found.target_class[0, 0]]}"
    return torch.from_numpy(found.perturbation[0, 0]).to(torch.float64), label


def _corrupted(images: ImageSet, row: int, name: str) -> tuple[Tensor, str]:
    changed = corrupt(images.pixels[[row]], name, TOWARDS)[0].to("cpu", torch.float64)
    return changed - _exact(images[row].pixels)[0], f"{name.replace('_', ' ')}, severity {TOWARDS:g}"


def _exact(pixels: Tensor) -> Tensor:
    return pixels.detach().to("cpu", torch.float64)


def _label_of(images: ImageSet, row: int) -> int:
    """The true class of an image.

    Raises:
        ImageError: if it is not known.
    """
    label = int(images.labels[row])
    if label < 0:
        raise ImageError(f"expected an image of a known class, {images.names[row]} has none; choose another direction")
    return label


def _of_class(images: ImageSet, k: int) -> np.ndarray:
    return np.flatnonzero(images.labels.cpu().numpy() == k)


def _mean_difference(images: ImageSet, row: int, k: int) -> tuple[Tensor, str]:
    own = _label_of(images, row)
    theirs = _of_class(images, k)
    if not len(theirs):
        raise ImageError(f"expected a class that has images in the set, got {k}; choose another one")
    difference = _exact(images[theirs].pixels).mean(0) - _exact(images[_of_class(images, own)].pixels).mean(0)
    return difference, f"mean of {images.class_names[k]} − mean of {images.class_names[own]}"


def _principal(images: ImageSet, row: int, number: int) -> tuple[Tensor, str]:
    own = _label_of(images, row)
    alike = np.setdiff1d(_of_class(images, own), [row % len(images)])
    if len(alike) > 0:
        offsets = (_exact(images[alike].pixels) - _exact(images[row].pixels)).flatten(1).numpy()
        alike = offsets[np.argsort(np.linalg.norm(offsets, axis=1), kind="stable")[:_NEIGHBOURS]]
    if len(alike) <= number:
        raise ImageError(
            f"expected pca:{number} to have more than {number} neighbours of the image's class, got {len(alike)}; "
            "choose a smaller number"
        )
    _, spread, components = np.linalg.svd(alike - alike.mean(0), full_matrices=False)
    if number > len(spread) or spread[number - 1] <= _FLAT * spread[0]:
        raise ImageError(f"expected neighbours that spread in {number} directions, got fewer; choose a smaller number")
    component = torch.from_numpy(components[number - 1])
    component *= component[component.abs().argmax()].sign()
    return component.view(images.pixels.shape[1:]), f"principal direction {number} of {images.class_names[own]}"


def _dct_atom(shape: tuple[int, ...], p: int, q: int) -> Tensor:
    channels, height, width = shape
    if p >= height or q >= width:
        raise ValueError(f"expected a DCT atom from 0,0 to {height - 1},{width - 1}, got {p},{q}")
    rows, columns = (
        torch.cos(math.pi * (2 * torch.arange(size, dtype=torch.float64) + 1) * index / (2 * size))
        for size, index in ((height, p), (width, q))
    )
    return torch.outer(rows, columns).expand(channels, height, width)
