"""Hidden layers of a classifier: which of them form cuts, and their outputs.

A *cut* is a layer whose output carries all that the logits know of the image. The Jacobian from the image to the logits
is then the one after the cut times the one before it. Cuts are found in the autograd graph: without the node of the
layer's output, no path leads from the logits back to the image. Branches of a residual block are not cuts; the blocks
themselves are.

Layers are named by the path of their module, for example `layer1.0`. Hooks watch them on a copy that shares all
weights, because other threads may be running the classifier itself. The hooks are always removed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.geometry.local.activation_regions import KINKED, Kink
from core.geometry.local.jacobian import math_attention
from core.models.classifier import Classifier

_INSIDE = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)  # these belong to the layer before them
_SHAPES = (nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)  # change no value


class States(NamedTuple):
    """Outputs of layers for a batch of images, and the inputs of layers with kinks in the order in which they run."""

    outputs: tuple[Float[Tensor, "n d"], ...]
    kinks: tuple[Kink, ...]
    logits: Float[Tensor, "n k"]


Watch = Callable[[Tensor], States]


@contextmanager
def watched(classifier: Classifier, paths: Sequence[str]) -> Iterator[Watch]:
    """Watch layers during forward passes.

    Args:
        classifier: the classifier; it stays as it is.
        paths: paths of modules, each of which must run once and return one tensor with a row per image.

    Yields:
        A function from images to the layers' outputs, with their autograd graph where there is one.

    Raises:
        ValueError: if there is no module with that path, or it does not run once with such an output.
    """
    known = dict(classifier.module.named_modules())
    stranger = next((path for path in paths if path not in known), None)
    if stranger is not None:
        listed = ", ".join(list(known)[1:9])
        raise ValueError(f"expected a path of a module such as {listed}, got {stranger!r}; choose another layer")
    same = private(classifier)
    modules = dict(same.module.named_modules())
    held: dict[str, list[Any]] = {}
    kinks: list[Kink] = []

    def keep(path: str, module: nn.Module, given: Any, output: Any) -> None:
        held.setdefault(path, []).append((output, getattr(output, "_version", 0)))

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        kinks.append(Kink(module, given[0], sum(map(len, held.values()))))

    def watch(images: Tensor) -> States:
        held.clear()
        kinks.clear()
        logits = same(images)
        return States(tuple(_single(path, held.get(path, []), images) for path in paths), tuple(kinks), logits)

    with ExitStack() as hooks:
        hooks.callback(held.clear)
        hooks.callback(kinks.clear)
        for path in paths:
            hooks.enter_context(modules[path].register_forward_hook(partial(keep, path)))
        for module in same.module.modules():
            if type(module) in KINKED:
                hooks.enter_context(module.register_forward_pre_hook(note))
        yield watch


def private(classifier: Classifier) -> Classifier:
    """A copy of the classifier with its own modules, for hooks; weights and buffers are shared."""
    tensors = (*classifier.module.parameters(), *classifier.module.buffers())
    same = copy.copy(classifier)
    same.module = copy.deepcopy(classifier.module, {id(tensor): tensor for tensor in tensors})
    return same


def _single(path: str, outputs: list[Any], images: Tensor) -> Tensor:
    found, version = outputs[0] if len(outputs) == 1 else (None, 0)
    if not isinstance(found, Tensor) or len(found) != len(images) or found._version != version:
        came = "another kind or one changed in place" if len(outputs) == 1 else f"{len(outputs)} of them"
        raise ValueError(
            f"expected one tensor with a row per image from layer {path}, got {came}; choose another layer"
        )
    return found


def layer_paths(classifier: Classifier, most: int = 8) -> tuple[str, ...]:
    """At most `most` cuts from the image to the logits, evenly spaced, the last included.

    A normalisation or an activation belongs to the layer before it; layers that change no value are left out.

    Args:
        classifier: any differentiable classifier.
        most: largest number of layers.

    Returns:
        Paths of modules in the order in which they run, the last one returning the logits; none for a model that is one
        module.

    Raises:
        ValueError: if `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"expected at least one layer, got {most}")
    found = _cuts(classifier)
    if not found:
        return ()
    kinds = dict(classifier.module.named_modules())
    ends = [
        path
        for path, after in zip(found, (*found[1:], ""), strict=True)
        if not (after and (isinstance(kinds[after], _INSIDE) or _is_activation(kinds[after])))
    ]
    chosen = sorted({round(place * (len(ends) - 1) / max(1, most - 1)) for place in range(most)})
    if most == 1:
        chosen = [len(ends) - 1]
    return tuple(ends[place] for place in chosen)


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(module, nn.MultiheadAttention)


def _cuts(classifier: Classifier) -> list[str]:
    """Paths of the cuts in their order; of several modules with the same output, the shortest path."""
    same = private(classifier)
    met: list[tuple[str, Any]] = []

    def keep(path: str, module: nn.Module, given: Any, output: Any) -> None:
        single = isinstance(output, Tensor) and len(output) == 1
        met.append((path, output.grad_fn if single else None))  # now: a later addition in place changes it

    grey = torch.full((1, *classifier.input_shape), 0.5, device=classifier.device, dtype=classifier.dtype)
    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad(), math_attention():
        for path, module in same.module.named_modules():
            if path and not isinstance(module, _SHAPES):
                hooks.enter_context(module.register_forward_hook(partial(keep, path)))
        image = grey.requires_grad_()
        logits = same(image)
    times = Counter(path for path, _ in met)
    paths: dict[Any, str] = {}
    for path, node in met:
        if times[path] == 1 and node is not None:
            paths[node] = min(paths.get(node, path), path, key=lambda each: each.count("."))
    return [path for node, path in paths.items() if not _reaches(logits.grad_fn, image, node)]


def _reaches(start: Any, image: Tensor, without: Any) -> bool:
    """Whether derivatives reach the image by a path that avoids a node."""
    waiting, seen = [start] if start is not without else [], {start, without}
    while waiting:
        node = waiting.pop()
        if getattr(node, "variable", None) is image:
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False
