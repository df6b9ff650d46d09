"""The features of an image at a layer of a classifier, and the logits that the rest of the network makes of features.

The penultimate layer is the input of the last layer with weights: the features phi(x) of which the logits are, in most
networks, an affine function W phi(x) + b, the *head*. One run of the network finds it; any other module can be named by
its path. The head maps features to logits: the last layer alone where its output is the logits, otherwise a run of the
whole network in which the given features replace its own. Where a path bypasses the features, such as a skip
connection, they do not determine the logits: a run of one image with the features of another shows that, and such a
layer has no head.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.models.classifier import Classifier

_SAME = 1e-3  # of the largest logit: rounding of another batch, in half precision too
_NAMED = 8  # modules named when one is not found


class Features:
    """The values of one layer, as vectors.

    The network is copied, so that its hooks never see another thread's run.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        layer: path of a module, as `named_modules` gives it, whose output is taken; "" for the penultimate layer.

    Raises:
        ValueError: if there is no such module, none with weights before the logits, or its output is no tensor with a
            row per image.
    """

    def __init__(self, classifier: Classifier, layer: str = "") -> None:
        self._classifier = classifier.to()
        self._modules = dict(self._classifier.module.named_modules())
        self._probe = torch.rand(
            2, *classifier.input_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(classifier.device, classifier.dtype)
        if layer and layer not in self._modules:
            named = ", ".join([name for name in self._modules if name][-_NAMED:])
            raise ValueError(f"expected the path of a layer, such as {named}, got {layer[:60]!r}")
        self._inputs = not layer
        with torch.inference_mode():
            self._path = layer or self._last_with_weights()
            values, logits = self._listen(self._probe)
            self.shape = tuple(values.shape[1:])
            self._ends = self._inputs and self._is_last(values, logits)
            self.has_head = self._decides(values.flatten(1), logits)

    @property
    def layer(self) -> str:
        """The name of the layer in words."""
        return f"{'input' if self._inputs else 'output'} of {self._path}"

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return math.prod(self.shape)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]]:
        """The features of images and, from the same forward, their logits."""
        values, logits = self._listen(images)
        return values.flatten(1), logits

    def head(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The logits that the network makes of features.

        Args:
            features: vectors of the layer, seen or not.

        Returns:
            Their logits.

        Raises:
            ValueError: if the layer has no head.
        """
        if not self.has_head:
            raise ValueError(
                f"expected a layer that decides the logits, got the {self.layer}, which something passes by; choose the"
                " penultimate layer"
            )
        return self._head(features)

    def _head(self, features: Tensor) -> Tensor:
        values = features.view(-1, *self.shape).clone()  # layers may write into what they are given
        if self._ends:
            found: Tensor = self._modules[self._path](values)
            return found
        with _hooked(self._modules[self._path], lambda inputs, output: values, self._inputs):
            return self._classifier(self._probe[:1].expand(len(values), -1, -1, -1))

    def _listen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The raw values of the layer and the logits."""
        heard: list[Any] = []

        def hear(inputs: Any, output: Any) -> None:
            value = inputs if self._inputs else output
            heard.append(value.clone() if isinstance(value, Tensor) else value)  # later layers may write into it

        with _hooked(self._modules[self._path], hear, self._inputs):
            logits = self._classifier(images)
        values = heard[-1] if heard else None
        if not isinstance(values, Tensor) or values.ndim < 2 or len(values) != len(images):
            raise ValueError(
                f"expected one row of values per image from {self._path}, got none; choose a layer that is a tensor"
            )
        return values, logits

    def _last_with_weights(self) -> str:
        """The module with weights of its own that is run last."""
        order: list[str] = []
        with ExitStack() as hooks:
            for name, module in self._modules.items():
                if name and next(module.parameters(recurse=False), None) is not None:
                    hooks.enter_context(
                        module.register_forward_hook(lambda module, inputs, output, name=name: order.append(name))
                    )
            self._classifier(self._probe)
        if not order:
            raise ValueError(
                f"expected a network with layers, got {self._classifier.name}, a single one; choose pixels, logits or"
                " probabilities"
            )
        return order[-1]

    def _is_last(self, values: Tensor, logits: Tensor) -> bool:
        """Whether the module's output is the logits themselves."""
        output = self._modules[self._path](values.clone())
        return isinstance(output, Tensor) and output.shape == logits.shape and bool(torch.equal(output, logits))

    def _decides(self, features: Tensor, logits: Tensor) -> bool:
        """Whether the features alone make the logits, also in a run of another image."""
        again = self._head(features)
        close = (again - logits).abs().amax() <= _SAME * logits.abs().amax().clamp(min=torch.finfo(logits.dtype).tiny)
        return again.shape == logits.shape and bool(close)


def _hooked(module: nn.Module, hook: Callable[[Any, Any], Any], inputs: bool) -> RemovableHandle:
    """Call `hook` with the input or the output of a module; a returned value replaces it."""
    if inputs:
        return module.register_forward_pre_hook(lambda module, given: hook(given[0], None))
    return module.register_forward_hook(lambda module, given, output: hook(None, output))
