"""The normalisation that a checkpoint stores next to its network: used if it is clear, else asked about.

Training programs keep it as two tensors or lists of numbers (`mean` and `std`, `pixel_mean` and `pixel_std`), or as a
first layer: a batch normalisation, a 1 x 1 convolution or an affine map that does not mix channels. Means of anything
else, such as an accuracy or a loss, are not about pixels; only names that say pixels, or nothing, count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.state_dicts import StateDict

_SAY = "say mean= and std= for pixels in [0, 1], or preset=NAME"
_WRAPPERS = {"model", "module", "net", "network", "_orig_mod", "state_dict"}
_IN_FRONT = re.compile(r"0\Z|norm(?!\d)|transf|prepro|data|input|image|pixel", re.IGNORECASE)  # 0: first of a sequence
_MEAN = re.compile(
    r"(?P<what>(?:(?:pixel|image|img|data|dataset|input|channel|rgb|norm|imagenet|new)_?)?)"
    r"(?P<word>mean|mu)s?(?P<rest>(?:_?(?:rgb|tensor|values?|buffer))?)"
)
_STDS = ("std", "stds", "stdev", "sigma", "sigmas", "sd", "sds")
_EPSILON = 1e-5  # torch's, of a batch normalisation
_IMAGENET = (0.485, 0.456, 0.406)


class Normalisation(NamedTuple):
    """What is subtracted from pixels in [0, 1], and what divides them then; `name` says where it is stored."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str


_Pair = tuple[tuple[float, ...], tuple[float, ...]]


def normalisation_in(chosen: StateDict, channels: int) -> Normalisation | None:
    """The mean and standard deviation of the normalisation in front of a network, for pixels in [0, 1].

    Args:
        chosen: the network, with the small tensors of its file.
        channels: of its images.

    Returns:
        Both per channel, or one number for all channels; None if the file stores none.

    Raises:
        CheckpointError: if it stores several that differ, or one that can be read in two ways, or half of one.
    """
    inside = {id(tensor) for tensor in chosen.tensors.values()}
    places: dict[str, dict[str, Tensor]] = {}
    for name, tensor in chosen.small.items():
        if id(tensor) not in inside:
            cut = max(name.rfind("."), name.rfind("/")) + 1
            places.setdefault(name[:cut], {})[name[cut:].lower().strip("_")] = tensor
    around = _WRAPPERS | set(re.split(r"[./]", f"{chosen.name}.{chosen.removed}"))
    found: dict[_Pair, str] = {}
    unclear = ""
    for place, stored in places.items():
        *outer, last = re.split(r"[./]", place[:-1])
        first = bool(_IN_FRONT.search(last))
        if around.issuperset(outer) and (first or last in around):
            for name, pair in _stored(stored, channels, place, first=first):
                found.setdefault(pair, name)
        elif channels > 1 and any(word in stored and stored[word].numel() == channels for word in ("mean", "mu")):
            unclear = unclear or place
    if not found and unclear:
        raise CheckpointError(
            f"expected to know the normalisation in front of the network, the file stores a mean in {unclear[-60:]}"
            f" that may be it; {_SAY}"
        )
    if len(found) > 1:
        names = " and ".join(name[-60:] for name in list(found.values())[:2])
        raise CheckpointError(f"expected one normalisation in the file, got several such as {names}; {_SAY}")
    for (mean, std), name in found.items():
        return Normalisation(*_of_unit_pixels(mean, std, name[-60:]), name)
    return None


def _stored(stored: Mapping[str, Tensor], channels: int, place: str, *, first: bool) -> list[tuple[str, _Pair]]:
    """The normalisations among tensors of one place, with a name for each.

    Args:
        stored: tensors by their names in small letters.
        channels: of images.
        place: where they are stored, for error messages.
        first: whether the place is that of a layer in front of the network.

    Raises:
        CheckpointError: if a mean has no std, or two tensors can be read in two ways.
    """
    found: list[tuple[str, _Pair]] = []
    for name, tensor in stored.items():
        parts = _MEAN.fullmatch(name)
        if parts is None or not _is_per_channel(tensor, channels):
            continue
        std = next((stored[key] for each in _STDS if (key := f"{parts['what']}{each}{parts['rest']}") in stored), None)
        variance = stored.get(f"{parts['what']}var{parts['rest']}")
        if std is None and variance is not None:
            std = variance.sqrt()
        if std is not None and std.numel() == tensor.numel():
            found.append((place + name, (_numbers_of(tensor), _numbers_of(std))))
        elif std is not None or parts["what"] or tensor.numel() == channels > 1:
            raise CheckpointError(
                f"expected a mean and a std in the file, {(place + name)[-60:]} has no partner; {_SAY}"
            )
    mean, variance = stored.get("running_mean"), stored.get("running_var")
    weight, bias = stored.get("weight"), stored.get("bias")
    if mean is not None and variance is not None and mean.numel() == variance.numel() == channels:
        std = (variance + _EPSILON).sqrt()
        if weight is not None and bias is not None:
            mean, std = mean - bias * std / weight, std / weight
        found.append((f"{place}running_mean", (_numbers_of(mean), _numbers_of(std))))
    elif weight is not None and (scale := _scale_of(weight, channels, first=first)) is not None:
        shift = torch.zeros_like(scale) if bias is None else bias.flatten()
        if len(shift) == channels:
            found.append((f"{place}weight", (_numbers_of(-shift / scale), _numbers_of(1 / scale))))
    if first and any(name in stored and stored[name].numel() == channels > 1 for name in ("shift", "scale")):
        raise CheckpointError(
            f"expected a mean and a std in the file, {place[-60:]}shift and scale can be read in two ways; {_SAY}"
        )
    return found


def _is_per_channel(tensor: Tensor, channels: int) -> bool:
    return tensor.numel() in (1, channels) and max(tensor.shape, default=1) == tensor.numel()


def _numbers_of(tensor: Tensor) -> tuple[float, ...]:
    return tuple(tensor.flatten().tolist())


def _scale_of(weight: Tensor, channels: int, *, first: bool) -> Tensor | None:
    """The positive factors of a layer that only scales channels; None for any other weight."""
    if channels < 2:
        return None
    if weight.shape == (channels, channels, 1, 1):
        matrix = weight[:, :, 0, 0]
    elif weight.shape == (channels, 1, 1, 1) or (first and weight.numel() == channels == max(weight.shape)):
        matrix = weight.flatten().diag()
    else:
        return None
    found = matrix.diagonal()
    return found if bool((matrix == found.diag()).all() and (found > 0).all()) else None


def _of_unit_pixels(mean: tuple[float, ...], std: tuple[float, ...], name: str) -> _Pair:
    """A normalisation of pixels in [0, 1], from one of these or of bytes.

    Raises:
        CheckpointError: if it is not valid, or can be read in two ways.
    """
    came = f"{name} with {'/'.join(f'{value:.4g}' for value in (*mean, *std))}"
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise CheckpointError(f"expected a finite mean and a positive std, got {came}; {_SAY}")
    of_units = min(mean) >= 0 and max(mean) <= 1 and max(std) <= 2
    of_bytes = min(mean) >= 0 and max(mean) <= 255 and (max(mean) > 2 or max(mean) == 0) and min(std) > 2
    if of_units == of_bytes:
        raise CheckpointError(f"expected a normalisation of pixels in [0, 1] or of bytes, got {came}; {_SAY}")
    white = 255 if of_bytes else 1
    found = tuple(value / white for value in mean)
    turned = len(found) == 3 and all(abs(a - b) < 0.01 for a, b in zip(found, reversed(_IMAGENET), strict=True))
    if turned:
        raise CheckpointError(f"expected channels in the order red, green, blue, got ImageNet's turned: {came}; {_SAY}")
    return found, tuple(value / white for value in std)
