"""Preprocessing: the mean and std that a model was trained with, and signs that it is used with others.

A model still answers when images are normalised differently than in training, only worse, and without an error. Two
signs reveal the mistake on a few ordinary pictures. The network's first batch normalisation stores the mean m and the
variance s² of its input in training; with the wrong normalisation its channels have another mean and variance, and

    KL(N(mean, var) ‖ N(m, s²)) = (var / s² + (mean - m)² / s² - 1 - log(var / s²)) / 2

measures the difference, in nats, as the median over channels. And predictions collapse: nearly all pictures get one
class. Both are compared between presets: the best preset is a hint, never a proof. Confidence is not a sign: larger
inputs make any network more confident, right or wrong. A network whose batch normalisations are in their initial state
looks untrained, and shows neither sign.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.models.classifier import Classifier
from core.sources.models import Source


@dataclass(frozen=True)
class Preset:
    """A normalisation that many models share.

    Attributes:
        mean: per channel, of pixels in [0, 1].
        std: per channel.
        about: who uses it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    about: str


PRESETS: Mapping[str, Preset] = {
    "imagenet": Preset((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "torchvision, most of timm"),
    "half": Preset((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "pixels from -1 to 1: Inception, many transformers of timm"),
    "none": Preset((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "pixels from 0 to 1: RobustBench, or normalised inside the model"),
    "cifar10": Preset((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "most models of CIFAR-10"),
    "cifar100": Preset((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "most models of CIFAR-100"),
    "clip": Preset(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "CLIP, and what grew of it"
    ),
    "bytes": Preset((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "pixels from 0 to 255"),
    "mnist": Preset((0.1307,), (0.3081,), "models of MNIST; one channel"),
}
OWN = "own"  # the normalisation of the library's own weights

_COLLAPSED = 0.9  # of the pictures in one class
_CLEARLY_NATS = 0.25  # smallest difference that counts; a wrong preset is off by 0.1 to 10


def presets(channels: int) -> dict[str, Preset]:
    """The presets for images of `channels` channels; one with equal channels fits any number."""
    found = {}
    for name, preset in PRESETS.items():
        if len(preset.mean) == channels:
            found[name] = preset
        elif len(set(preset.mean)) == len(set(preset.std)) == 1 and len(preset.mean) == 3:
            found[name] = Preset(preset.mean[:1] * channels, preset.std[:1] * channels, preset.about)
    return found


def normalisation(
    source: Source, channels: int, own: tuple[Sequence[float], Sequence[float]] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std that a source specifies.

    Args:
        source: its options `preset`, or `mean` and `std`, decide.
        channels: of the images.
        own: the normalisation of the library's own weights, used if the source has no such option.

    Returns:
        One value per channel each.

    Raises:
        CheckpointError: if they are unknown, do not fit the channels, or there is neither an option nor `own`.
    """
    mean, std, name = source.numbers("mean"), source.numbers("std"), source.options.get("preset")
    known = presets(channels)
    if (mean is None) != (std is None) or (name is not None and mean is not None):
        raise CheckpointError("expected either preset, or mean and std together, got a part or all; leave one out")
    if mean is not None and std is not None:
        if len(mean) != channels or len(std) != channels or min(std) <= 0:
            raise CheckpointError(
                f"expected {channels} values of mean and of a positive std, got {len(mean)} and {len(std)}; mend them"
            )
        return mean, std
    if name is None and own is None:
        raise CheckpointError(f"expected ?preset=NAME out of {', '.join(known)}, got none; say how it was normalised")
    if name in (None, OWN) and own is not None:
        return _for_channels(own[0], channels), _for_channels(own[1], channels)
    if name not in known:
        offered = ", ".join((*known, OWN) if own else known)
        raise CheckpointError(f"expected a preset out of {offered} for {channels} channels, got {str(name)[:40]!a}")
    return known[name].mean, known[name].std


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    # averaged, as timm does, if a model takes another number of channels
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


# -- mistakes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A model's predictions for some pictures under one normalisation.

    Attributes:
        name: of the preset, or "chosen".
        mean: per channel.
        std: per channel.
        confidence: mean probability of the predicted class; NaN if no logits are finite.
        commonest: share of the pictures in the most frequent class; 0 if no logits are finite.
        mismatch: nats between the input of the first batch normalisation and that in training; None without one.
        labels: class of each picture; -1 where its logits are not finite.
        confidences: probability of that class.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    confidence: float
    commonest: float
    mismatch: float | None
    labels: tuple[int, ...]
    confidences: tuple[float, ...]


def trials(
    classifier: Classifier, images: Tensor, seconds: float = 8.0, known: Sequence[Trial] = ()
) -> tuple[Trial, ...]:
    """Try the presets on some pictures; the classifier's own normalisation comes first.

    Args:
        classifier: any classifier; it is not changed.
        images: (n, c, h, w) ordinary pictures, pixels in [0, 1]; 8 or more.
        seconds: time after which no further preset is tried.
        known: trials of the same module on the same pictures, which are reused.

    Returns:
        One trial of the classifier's own normalisation, called "chosen", and one per preset with other numbers.

    Raises:
        ImageError: if the images do not have the classifier's shape.
    """
    pixels = classifier.accept(images)
    module = copy.deepcopy(classifier.module)
    asked = {"chosen": (classifier.mean, classifier.std)}
    asked |= {name: (preset.mean, preset.std) for name, preset in presets(pixels.shape[1]).items()}
    made = {(each.mean, each.std): each for each in known}
    found: list[Trial] = []
    begin = time.monotonic()
    for name, (mean, std) in asked.items():
        if name != "chosen" and (mean, std) == asked["chosen"]:
            continue
        if (mean, std) in made:
            found.append(replace(made[mean, std], name=name))
        elif name == "chosen" or time.monotonic() < begin + seconds:
            found.append(_trial(module, pixels, name, mean, std))
    return tuple(found)


def looks_untrained(classifier: Classifier) -> bool:
    """Whether it has batch normalisations, all in their initial state: every mean 0, every variance 1."""
    parts = [part for part in classifier.module.modules() if isinstance(part, nn.BatchNorm2d)]
    kept = [part for part in parts if part.running_mean is not None]
    return bool(kept) and not any(map(_has_seen, kept))


def suspicion(tried: Sequence[Trial], *, untrained: bool = False) -> str:
    """A sentence if the chosen normalisation looks like a mistake; else "".

    Args:
        tried: the result of `trials`.
        untrained: whether the model looks untrained; then the sentence says that instead.
    """
    if untrained:
        return (
            "This model looks untrained: every batch normalisation is as built, mean 0 and variance 1. Nothing here"
            " says which normalisation is right."
        )
    chosen, *others = tried
    measured = [each for each in others if each.mismatch is not None]
    if chosen.mismatch is not None and measured:
        best = min(measured, key=lambda each: each.mismatch or 0.0)
        if (best.mismatch or 0.0) + _CLEARLY_NATS < chosen.mismatch:
            return (
                f"With this normalisation the first batch normalisation sees other numbers than in training "
                f"({chosen.mismatch:.2g} nats away); with {best.name} it is {best.mismatch:.2g}. Was it trained so?"
            )
        return ""
    best = min(others, key=lambda each: each.commonest, default=chosen)
    if chosen.commonest >= _COLLAPSED and best.commonest <= 0.7 * chosen.commonest:
        return (
            f"With this normalisation {chosen.commonest:.0%} of the pictures get one class; with {best.name} "
            f"{best.commonest:.0%}. Was it trained so?"
        )
    return ""


def _trial(module: nn.Module, pixels: Tensor, name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Trial:
    shift, scale = (pixels.new_tensor(values).view(-1, 1, 1) for values in (mean, std))
    first = next((part for part in module.modules() if isinstance(part, nn.BatchNorm2d) and _has_seen(part)), None)
    seen: list[Tensor] = []

    def look(part: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(given[0].detach().clone())  # later layers may write into the tensor

    hook = first.register_forward_pre_hook(look) if first is not None else None
    try:
        with torch.inference_mode():
            probabilities = module((pixels - shift) / scale).double().softmax(1)
    finally:
        if hook is not None:
            hook.remove()
    known = probabilities.isfinite().all(1)
    confidence, labels = probabilities.max(1)
    labels = labels.where(known, -1)
    return Trial(
        name=name,
        mean=mean,
        std=std,
        confidence=float(confidence[known].mean()),
        commonest=float((labels[:, None] == labels[known]).sum(0).max()) / len(labels) if known.any() else 0.0,
        mismatch=_mismatch(seen[0], first) if first is not None and seen else None,
        labels=tuple(labels.tolist()),
        confidences=tuple(confidence.tolist()),
    )


def _has_seen(part: nn.BatchNorm2d) -> bool:
    """Whether it has statistics other than the initial ones: mean 0 and variance 1."""
    if part.running_mean is None or part.running_var is None:
        return False
    return bool((part.running_mean != 0).any() or (part.running_var != 1).any())


def _mismatch(given: Tensor, part: nn.BatchNorm2d) -> float:
    """Nats between the input of a batch normalisation and its stored statistics, median over channels."""
    mean, var = given.double().mean((0, 2, 3)), given.double().var((0, 2, 3)).clamp_min(1e-12)
    assert part.running_mean is not None
    assert part.running_var is not None
    kept = part.running_var.double() + part.eps
    ratio = var / kept
    return float(((ratio + (mean - part.running_mean) ** 2 / kept - 1 - ratio.log()) / 2).median())
