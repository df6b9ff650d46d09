"""The null model of a classifier: the same architecture with its weights drawn anew, which learned nothing.

What the null shows as well comes from the architecture, and is no sign of what was learned. Layers that know how they
are initialised (`reset_parameters`, as in torch and timm) do it again. Weights that belong to no such layer (position
embeddings, tokens, graphs that were exported) are drawn uniformly within ±1/√(fan-in) where they have two axes or more;
with one axis, scales become 1 and offsets 0. Statistics of normalisation layers become mean 0 and variance 1.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from core.classifier import Classifier
from core.sources import CheckpointError

_FIRST_SEED = 1 << 20  # architectures are drawn with small seeds: a null of those must be another draw


def untrained(classifier: Classifier, seed: int = 0) -> Classifier:
    """The same architecture with its weights drawn anew.

    Args:
        classifier: any classifier; it stays as it is.
        seed: another one draws other weights; the global generators are left alone.

    Returns:
        A classifier of the same images, classes and normalisation, on the same device.

    Raises:
        CheckpointError: if it has no weights, or the new ones give NaN or infinite logits.

    Example:
        >>> from core.checkpoints import load_classifier
        >>> untrained(load_classifier("demo:digits/standard", "cpu"), seed=2).name
        'digits/standard, untrained 2'
    """
    module = copy.deepcopy(classifier.module).cpu()
    if next(module.parameters(), None) is None:
        raise CheckpointError(f"expected a model with weights to draw anew, {classifier.name[:80]} has none")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_FIRST_SEED + seed)
        drawn: set[int] = set()
        for layer in module.modules():
            _redraw(layer, drawn)
    name = f"{classifier.name}, untrained" + (f" {seed}" if seed else "")
    shape, classes = classifier.input_shape, classifier.class_names
    null = Classifier(module, shape, classes, classifier.mean, classifier.std, name, classifier.device)
    grey = torch.full((1, *shape), 0.5, device=null.device, dtype=null.dtype)
    if not bool(torch.isfinite(null(grey)).all()):
        raise CheckpointError(f"expected finite logits of {name[:80]}, got NaN or infinity; try another seed")
    return null


def _redraw(layer: nn.Module, drawn: set[int]) -> None:
    """Draw the parameters that a layer owns itself, unless a layer around it did, and reset its statistics."""
    own = [(name, weight) for name, weight in layer.named_parameters(recurse=False) if id(weight) not in drawn]
    drawn |= {id(weight) for _, weight in own}
    reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
    if own or any(True for _ in layer.buffers(recurse=False)):
        if callable(reset):
            reset()
        else:
            for name, weight in own:
                _draw(name, weight)
    for name, statistic in layer.named_buffers(recurse=False):
        if name.endswith(("running_mean", "running_var")):
            statistic.fill_(float(name.endswith("running_var")))


def _draw(name: str, weight: nn.Parameter) -> None:
    if weight.ndim > 1:
        bound = 1 / math.sqrt(max(1, weight[0].numel()))
        weight.uniform_(-bound, bound)
    else:
        weight.fill_(0.0 if name.endswith("bias") else 1.0)
