"""Hidden layers of a classifier: which ones an image must pass, and what they hold.

A *cut* is a layer through whose output everything must go that the logits learn of the image. Composition holds there:
the Jacobian from the image to the logits is the one behind the cut times the one before it. Cuts are found in the graph
of derivatives: without the node of the layer's output, no path leads from the logits back to the image. Branches of a
residual block are no cuts, the blocks themselves are.

Layers are named by the path of their module, `layer1.0` say. They are watched by hooks on a copy that shares all
weights: other threads may be running the classifier itself. The hooks are removed again whatever happens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    """What layers hold for a batch of images, and the inputs of layers with kinks, in the order they were met."""

    outputs: tuple[Float[Tensor, "n d"], ...]
    kinks: tuple[Kink, ...]
    logits: Float[Tensor, "n k"]


Watch = Callable[[Tensor], States]


@contextmanager
def watched(classifier: Classifier, paths: Sequence[str]) -> Iterator[Watch]:
    """Watch layers while images go through.

    Args:
        classifier: the classifier; it is left as it is.
        paths: of modules, each of which must be met once and give one tensor with a row per image.

    Yields:
        A function from images to what the layers hold, with the graph of derivatives where there is one.

    Raises:
        ValueError: if there is no module of that path, or it is not met once with such an output.
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

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, given: Any, output: Any) -> None:
            held.setdefault(path, []).append((output, getattr(output, "_version", 0)))

        return note

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        kinks.append(Kink(module, given[0], sum(map(len, held.values()))))

    handles = []
    try:
        for path in paths:
            handles.append(modules[path].register_forward_hook(keep(path)))
        for module in same.module.modules():
            if type(module) in KINKED:
                handles.append(module.register_forward_pre_hook(note))

        def watch(images: Tensor) -> States:
            held.clear()
            kinks.clear()
            logits = same(images)
            return States(tuple(_single(path, held.get(path, []), images) for path in paths), tuple(kinks), logits)

        yield watch
    finally:
        for handle in handles:
            handle.remove()
        held.clear()
        kinks.clear()


def private(classifier: Classifier) -> Classifier:
    """The same classifier with modules of its own, to hang hooks on; weights and buffers are shared."""
    tensors = (*classifier.module.parameters(), *classifier.module.buffers())
    same = copy.copy(classifier)
    same.module = copy.deepcopy(classifier.module, {id(tensor): tensor for tensor in tensors})
    return same


def _single(path: str, outputs: list[Any], images: Tensor) -> Tensor:
    """The one tensor that a layer gave."""
    found, version = outputs[0] if len(outputs) == 1 else (None, 0)
    if not isinstance(found, Tensor) or len(found) != len(images) or found._version != version:
        came = "another kind or one changed in place" if len(outputs) == 1 else f"{len(outputs)} of them"
        raise ValueError(
            f"expected one tensor with a row per image from layer {path}, got {came}; choose another layer"
        )
    return found


def layer_paths(classifier: Classifier, most: int = 8) -> tuple[str, ...]:
    """Layers that everything passes, from the image to the logits: at most so many, evenly spaced, the last included.

    A normalisation or an activation belongs to the layer before it; what changes no value is left out.

    Args:
        classifier: any that is differentiable.
        most: of them.

    Returns:
        Paths of modules in the order they are met, the last one gives the logits; none of a model that is one module.

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
    """Paths of modules whose output everything passes, in their order; of several with one output the shortest."""
    same = private(classifier)
    met: list[tuple[str, Any]] = []

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, given: Any, output: Any) -> None:
            single = isinstance(output, Tensor) and len(output) == 1
            met.append((path, output.grad_fn if single else None))  # now: a later addition in place changes it

        return note

    handles = [
        module.register_forward_hook(keep(path))
        for path, module in same.module.named_modules()
        if path and not isinstance(module, _SHAPES)
    ]
    try:
        grey = torch.full((1, *classifier.input_shape), 0.5, device=classifier.device, dtype=classifier.dtype)
        with torch.inference_mode(False), torch.enable_grad(), math_attention():
            image = grey.requires_grad_()
            logits = same(image)
    finally:
        for handle in handles:
            handle.remove()
    times: dict[str, int] = {}
    for path, _ in met:
        times[path] = times.get(path, 0) + 1
    paths: dict[Any, str] = {}
    for path, node in met:
        if times[path] == 1 and node is not None:
            known = paths.get(node)
            paths[node] = path if known is None or path.count(".") < known.count(".") else known
    return [path for node, path in paths.items() if not _reaches(logits.grad_fn, image, node)]


def _reaches(start: Any, image: Tensor, without: Any) -> bool:
    """Whether derivatives reach the image by a path that avoids a node."""
    waiting, seen = [start], {start, without}
    if start is without:
        return False
    while waiting:
        node = waiting.pop()
        if getattr(node, "variable", None) is image:
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False
