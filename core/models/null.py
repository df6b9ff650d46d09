"""Null models of a classifier: an effect that they show too is not evidence of what is tested.

`untrained` is the same architecture with new random weights, which has learned nothing; `linearised` is the
first-order Taylor map at an image, which has no curvature; those of `core.models.analytic` are known on paper.

An effect in the untrained model comes from the architecture, and not from learning. Layers that know their
initialisation (`reset_parameters`, as in torch and timm) repeat it. Weights that belong to no such layer (position
embeddings, tokens, exported graphs) are drawn uniformly within ±1/√(fan-in) if they have two axes or more; with one
axis, scales become 1 and offsets 0. Statistics of normalisation layers become mean 0 and variance 1.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.images.image_set import ImageSet
from core.images.load import check_shape
from core.models.analytic import Affine, analytic_classifier
from core.models.classifier import Classifier
from core.runtime.batches import Batches
from core.sources.models import ANALYTIC, LINEARISED, Source

MOST_VALUES = 1 << 28  # of a linear map: 1 GB in float32; 1,000 classes of 3 x 224 x 224 are 0.6 GB
_GRADIENTS = 64  # rows of the Jacobian per backward pass; halved where memory runs out
_FIRST_SEED = 1 << 20  # architectures are initialised with small seeds, and their nulls must be other draws


def null_of(source: Source, classifier: Classifier, images: Callable[[str], ImageSet]) -> Classifier:
    """The null model that a source names.

    Args:
        source: `untrained:...`, `linearised:...` or `analytic:...`.
        classifier: the classifier that `source.inner` names.
        images: loads an image set by its source.

    Raises:
        CheckpointError: if there is no such null of this classifier, or no such image.
        ImageError: if there are no such images, or they do not fit.
    """
    if source.kind not in (LINEARISED, ANALYTIC):
        return untrained(classifier, source.seed)
    from core.models.demo import demo_images

    if "images" not in source.options and source.trained.kind != "demo":
        raise CheckpointError(f"expected images=SOURCE after ? in {source.text()[:80]}, got none; name an image set")
    image_source = source.options.get("images") or demo_images(source.text())
    check_shape(image_source, classifier.input_shape, classifier.name)
    found, row = images(image_source), source.row
    if source.kind == ANALYTIC:
        return analytic_classifier(classifier, source.analytic_kind, found, row)
    if row >= len(found):
        raise CheckpointError(f"expected a row below {len(found)}, the size of {found.source}, got {row}")
    return linearised(classifier, found.pixels[row], f"{classifier.name}, linearised at image {row}")


def linearised(classifier: Classifier, image: Tensor, name: str = "") -> Classifier:
    """The first-order Taylor map f(x0) + J (x - x0) of a classifier at an image x0.

    Its boundaries are flat, and its distances known exactly (`core.models.analytic.Affine`). J takes one gradient per
    class, with respect to the pixels: the normalisation is part of the map.

    Args:
        classifier: any classifier that is differentiable in the images.
        image: x0 (c, h, w).
        name: its name in figures; by default that of the classifier with "linearised".

    Returns:
        A classifier of the same images and classes, on the same device.

    Raises:
        CheckpointError: if J is too large, cannot be computed or is not finite.
        ImageError: if the image does not have the classifier's shape.
    """
    point = classifier.accept(image[None])
    count, size = classifier.num_classes, point.numel()
    if count * size > MOST_VALUES:
        raise CheckpointError(
            f"expected at most {MOST_VALUES:,} derivatives, got {count:,} classes times {size:,} pixel values; choose a"
            " smaller model"
        )

    def rows(classes: Tensor) -> Tensor:
        images = point.expand(len(classes), -1, -1, -1).clone().requires_grad_()
        logits = classifier(images)
        if not logits.requires_grad:
            raise CheckpointError(f"expected logits with a derivative, {classifier.name[:80]} has none")
        (found,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), images)
        return torch.cat([found.flatten(1), logits.detach().gather(1, classes[:, None])], 1)

    with torch.enable_grad():
        values = Batches(min(_GRADIENTS, count))(rows, torch.arange(count, device=classifier.device))
    if not bool(torch.isfinite(values).all()):
        raise CheckpointError(f"expected finite derivatives of {classifier.name[:80]}, got NaN or infinity")
    module = Affine(values[:, :-1], values[:, -1], point[0])
    shape, title = classifier.input_shape, name or f"{classifier.name}, linearised"
    return Classifier(module, shape, classifier.class_names, name=title, device=classifier.device)


def untrained(classifier: Classifier, seed: int = 0) -> Classifier:
    """The same architecture with new random weights.

    Args:
        classifier: any classifier; it is not changed.
        seed: of the weights; the global generators are not used.

    Returns:
        A classifier of the same images, classes and normalisation, on the same device.

    Raises:
        CheckpointError: if it has no weights, or the new ones give NaN or infinite logits.

    Example:
        >>> from core.models.load import load_classifier
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
    if not bool(torch.isfinite(null(null.grey())).all()):
        raise CheckpointError(f"expected finite logits of {name[:80]}, got NaN or infinity; try another seed")
    return null


def _redraw(layer: nn.Module, drawn: set[int]) -> None:
    """Draw a layer's own parameters, unless a layer around it did, and reset its statistics."""
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
