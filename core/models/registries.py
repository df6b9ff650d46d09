"""Registries: the architectures of torchvision and timm, and the one that a set of weights belongs to.

The names and shapes of weights say much about their architecture. Sketches of both (`core.models.sketches`) find
similar architectures in milliseconds; those are then built without memory (torch's meta device) and compared name by
name. Paddings and activations, for example, are not visible in weights: architectures that fit equally well may compute
different functions.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.models.preprocessing import PRESETS
from core.models.sketches import likeness
from core.sources.models import MOST_CLASSES

PROBE_CLASSES = 1009  # a prime that is not a width: a tensor with as many rows belongs to the head
_COMPARED = 8  # architectures built and compared for one guess, about 50 ms each; more if their sketches are equal
_POSITIONS = ("pos_embed", "encoder.pos_embedding")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Difference:
    """One tensor that does not fit.

    Attributes:
        name: of the tensor.
        came: its shape in the weights; None if they lack it.
        expected: its shape in the architecture; None if that lacks it.
    """

    name: str
    came: tuple[int, ...] | None
    expected: tuple[int, ...] | None


@dataclass(frozen=True)
class Fit:
    """How well weights fit an architecture.

    Attributes:
        architecture: such as "torchvision:resnet18".
        num_classes: rows of the head of the weights.
        input_shape: (c, h, w): from the weights if they determine it, else the architecture's default.
        fitting: number of tensors with the right name and shape.
        total: number of tensors in the weights or the architecture.
        differences: the other tensors, by name.
    """

    architecture: str
    num_classes: int
    input_shape: tuple[int, int, int]
    fitting: int
    total: int
    differences: tuple[Difference, ...]

    @property
    def exact(self) -> bool:
        """Whether every tensor fits."""
        return not self.differences

    @property
    def share(self) -> float:
        """The share of tensors that fit."""
        return self.fitting / max(1, self.total)


@functools.cache
def architectures() -> tuple[str, ...]:
    """All names that `build` knows: torchvision's classifiers, then timm's."""
    import timm
    from torchvision import models

    return (
        *(f"torchvision:{name}" for name in sorted(models.list_models(module=models))),
        *(f"timm:{name}" for name in timm.list_models()),
    )


def search(words: str, most: int = 50) -> tuple[str, ...]:
    """Architectures whose names contain all of these words; those that begin with the first word come first.

    >>> search("resnet 18", most=2)
    ('torchvision:resnet18', 'timm:resnet18')
    """
    parts = re.findall(r"[a-z0-9_.]+", words.lower())
    found = [name for name in architectures() if all(part in name.lower() for part in parts)]
    begins = parts[0] if parts else ""
    found.sort(key=lambda name: (not name.partition(":")[2].startswith(begins), len(name.partition(":")[2])))
    return tuple(found[:most])


def fit(architecture: str, shapes: Shapes) -> Fit:
    """Compare weights with an architecture, by name and shape.

    The number of classes, channels and the input size come from the weights if the architecture leaves them open.

    Args:
        architecture: one of `architectures()`.
        shapes: shape by name, without wrapping prefixes.

    Raises:
        CheckpointError: if there is no such architecture.
    """
    blank = template(architecture)
    num_classes = _classes(blank, shapes)
    input_shape = _input_shape(architecture, blank, shapes)
    expected = blank
    if input_shape != made_for(architecture)[0] or _has_auxiliary_heads(architecture):
        try:
            expected = _shapes(_build_meta(architecture, PROBE_CLASSES, input_shape, shapes))
        except (CheckpointError, ValueError, TypeError, RuntimeError, AssertionError):  # it takes no such images
            input_shape = made_for(architecture)[0]
    if num_classes:
        expected = {
            name: (num_classes, *shape[1:]) if shape[:1] == (PROBE_CLASSES,) else shape
            for name, shape in expected.items()
        }
    differences = tuple(
        Difference(name, shapes.get(name), expected.get(name))
        for name in sorted(expected.keys() | shapes.keys())
        if shapes.get(name) != expected.get(name)
    )
    total = len(expected.keys() | shapes.keys())
    return Fit(architecture, num_classes, input_shape, total - len(differences), total, differences)


def guess(shapes: Shapes, most: int = 8) -> tuple[Fit, ...]:
    """The architectures that weights fit best, best first; torchvision before timm, short names before long ones.

    Args:
        shapes: shape by name, without wrapping prefixes.
        most: number of fits.

    Returns:
        Fits. Several may be exact: they have the same tensors, and may still compute different functions.
    """
    names, score = likeness(shapes)
    known = set(architectures())
    order = [index for index in np.argsort(-score, kind="stable") if names[index] in known and score[index] > 0]
    order = [index for place, index in enumerate(order) if place < _COMPARED or score[index] == score[order[0]]]
    fits = [fit(names[index], shapes) for index in order[: 2 * _COMPARED]]
    fits.sort(
        key=lambda each: (not each.exact, -each.share, each.architecture.startswith("timm"), len(each.architecture))
    )
    return tuple(fits[:most])


def build(architecture: str, tensors: Mapping[str, Tensor], input_shape: Sequence[int] | None = None) -> nn.Module:
    """The architecture with these weights.

    Args:
        architecture: one of `architectures()`.
        tensors: all of its weights, by name.
        input_shape: (c, h, w) of one image; by default from the weights.

    Returns:
        The module, in eval mode.

    Raises:
        CheckpointError: if the weights are not the architecture's, or it takes no such images.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    found = fit(architecture, shapes)
    if not found.exact:
        raise CheckpointError(_misfit(found, shapes))
    shape = (
        found.input_shape if input_shape is None else (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
    )
    module = _build_meta(architecture, found.num_classes, shape, shapes)
    if _shapes(module) != shapes:
        raise CheckpointError(
            f"expected images of {_by(found.input_shape)} for these weights of {architecture}, got {_by(shape)}; "
            "leave the size out, or take weights made for it"
        )
    module.load_state_dict(dict(tensors), strict=False, assign=True)
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):  # made when built, not stored
        module = _build(architecture, found.num_classes, shape, shapes)
        module.load_state_dict(dict(tensors), strict=False)
    return module.eval()


def untrained(architecture: str, num_classes: int | None = None, seed: int = 0) -> nn.Module:
    """The architecture with its library's random initial weights.

    Args:
        architecture: one of `architectures()`.
        num_classes: by default the library's own number.
        seed: of the weights.

    Returns:
        The module, in eval mode.

    Raises:
        CheckpointError: if there is no such architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _make(architecture, {} if num_classes is None else {"num_classes": num_classes}).eval()


@functools.lru_cache(maxsize=512)
def made_for(architecture: str) -> tuple[tuple[int, int, int], tuple[float, ...], tuple[float, ...]]:
    """Input shape, mean and std of the library's own weights of an architecture.

    Raises:
        CheckpointError: if there is no such architecture.
    """
    library, name = _known(architecture)
    usual = PRESETS["imagenet"]
    if library == "timm":
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(name)
        if config is not None:
            channels, height, width = config.input_size
            return (channels, height, width), tuple(config.mean), tuple(config.std)
        return (3, 224, 224), usual.mean, usual.std
    from torchvision import models

    weights = next(iter(models.get_model_weights(name)), None)
    words = getattr(getattr(weights, "transforms", None), "keywords", {})
    side = int(words.get("crop_size", 224))
    return (3, side, side), tuple(words.get("mean", usual.mean)), tuple(words.get("std", usual.std))


def _known(architecture: str) -> tuple[str, str]:
    library, _, name = architecture.partition(":")
    if architecture not in architectures():
        close = " or ".join(_meant(architecture[:200]))
        raise CheckpointError(
            f"expected an architecture such as {close}, got {architecture[:60]!a}; give the library and the name"
        )
    return library, name


def _meant(text: str) -> tuple[str, ...]:
    """The architectures of this name in another spelling (library, case, punctuation); else similar ones.

    >>> _meant("ResNet-18"), _meant("timm/resnet18.a1_in1k")
    (('torchvision:resnet18', 'timm:resnet18'), ('timm:resnet18',))
    """
    words = [word for word in re.split(r"[:/\s]+", text.lower()) if word]
    last = words[-1] if words else ""
    library = next((each for each in ("torchvision", "timm") if each in re.split(r"\W", text.lower())), "")
    spelled = _spelled()
    names = ["".join(words), "".join(words[1:]), last, last.partition(".")[0], last.rpartition(".")[2]]
    keys = [key for key in map(_letters, names) if key in spelled]
    if not keys:
        keys = get_close_matches(_letters(last), spelled, 3, cutoff=0.7) or ["resnet18"]
        return tuple(min(spelled[key], key=lambda name: not name.startswith(library)) for key in keys)
    found = spelled[keys[0]]
    return tuple(name for name in found if name.startswith(f"{library}:")) or found


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.cache
def _spelled() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name in architectures():
        found.setdefault(_letters(name.partition(":")[2]), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def _misfit(found: Fit, shapes: Shapes) -> str:
    first = "; ".join(_words(each) for each in found.differences[:2])
    others = [each.architecture for each in guess(shapes, 4) if each.architecture != found.architecture]
    return (
        f"expected the weights of {found.architecture}, {len(found.differences)} of {found.total} tensors differ "
        f"({first}); nearest otherwise: {', '.join(others[:3]) or 'none'}"
    )


def _words(difference: Difference) -> str:
    name = ascii(difference.name[:60])[1:-1]
    if difference.came is None:
        return f"{name} is missing"
    if difference.expected is None:
        return f"{name} is not part of it"
    return f"{name} is {_by(difference.came)} instead of {_by(difference.expected)}"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"


# -- classes and input size -------------------------------------------------------------------------------------------


def _classes(template: Shapes, shapes: Shapes) -> int:
    """The number of classes: rows of the weights in the template's head; 0: no head."""
    rows = [
        shapes[name][0]
        for name, shape in template.items()
        if shape[:1] == (PROBE_CLASSES,) and name in shapes and shapes[name][1:] == shape[1:] and shapes[name]
    ]
    likeliest = max(set(rows), key=rows.count, default=0)
    return likeliest if 1 <= likeliest <= MOST_CLASSES else 0


def _input_shape(architecture: str, template: Shapes, shapes: Shapes) -> tuple[int, int, int]:
    """Channels from the first layer, size from the number of positions."""
    (channels, height, width), _, _ = made_for(architecture)
    for name, shape in template.items():
        if len(shape) == 4 and shape[1] == channels and name in shapes and len(shapes[name]) == 4:
            channels = shapes[name][1] if shapes[name][2:] == shape[2:] else channels
            break
    for name in _POSITIONS:
        if name in template and name in shapes and template[name] != shapes[name] and len(shapes[name]) == 3:
            patch = next(
                (s[-1] for n, s in shapes.items() if n.endswith(("patch_embed.proj.weight", "conv_proj.weight"))), 0
            )
            if patch:
                extra = template[name][1] - (height // patch) * (width // patch)
                side = math.isqrt(max(0, shapes[name][1] - extra)) * patch
                if 0 < side <= 4096:
                    height = width = side
    return channels, height, width


# -- building ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def template(architecture: str) -> dict[str, tuple[int, ...]]:
    """Shape by name of an architecture for `PROBE_CLASSES` classes; a tensor with as many rows belongs to its head."""
    return _shapes(_build_meta(architecture, PROBE_CLASSES, made_for(architecture)[0], {}))


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def _build_meta(architecture: str, num_classes: int, shape: tuple[int, int, int], shapes: Shapes) -> nn.Module:
    try:
        with torch.device("meta"):
            return _build(architecture, num_classes, shape, shapes)
    except RuntimeError:  # a few read numbers while they are built, such as torchvision's RegNets
        return _build(architecture, num_classes, shape, shapes)


def _build(architecture: str, num_classes: int, shape: tuple[int, int, int], shapes: Shapes) -> nn.Module:
    library, _, _ = architecture.partition(":")
    (channels, height, width), _, _ = made_for(architecture)
    options: dict[str, Any] = {"num_classes": num_classes}
    if shape[0] != channels:
        if library == "torchvision":
            raise CheckpointError(
                f"expected {channels} channels for {architecture}, got {shape[0]}; timm's architectures take any number"
            )
        options["in_chans"] = shape[0]
    if shape[1:] != (height, width) and _has_fixed_size(architecture):
        options["img_size" if library == "timm" else "image_size"] = shape[1:] if library == "timm" else shape[1]
    if _has_auxiliary_heads(architecture) and shapes:
        options["aux_logits"] = any(key.startswith(("aux", "AuxLogits")) for key in shapes)
    return _make(architecture, options)


def _make(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    library, name = _known(architecture)
    made: nn.Module
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):  # about missing weights
        if library == "timm":
            import timm

            made = timm.create_model(name, pretrained=False, **options)
        else:
            from torchvision import models

            plain = {"init_weights": False} if _has_auxiliary_heads(architecture) else {}
            made = models.get_model(name, weights=None, **options, **plain)
    return made


def _has_auxiliary_heads(architecture: str) -> bool:
    return architecture in ("torchvision:googlenet", "torchvision:inception_v3")


def _has_fixed_size(architecture: str) -> bool:
    library, name = architecture.split(":", 1)
    if library == "torchvision":
        return name.startswith("vit_")
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return bool(config is not None and config.fixed_input_size)
