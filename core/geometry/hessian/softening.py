"""Softplus smoothing: a piecewise linear network with the same weights and every kink rounded.

With the sharpness b, relu(x) = max(0, x) becomes softplus_b(x) = log(1 + exp(b x)) / b, which is above it by at most
log(2) / b; other piecewise linear activations are written as sums of relu, and the maximum of a window becomes
log(mean(exp(b x))) / b. As b grows, the rounded network tends to the given one, and its curvature at a kink to
infinity: the curvature of such networks is a function of b, never a number.

Reference: Dombrowski et al., Explanations can be manipulated and geometry is to blame, NeurIPS 2019, section 5.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from core.geometry.hessian.kinks import kinks
from core.models.classifier import Classifier


class RoundedRelu(nn.Module):
    """Rounded relu, leaky relu or relu6: slope x + (1 - slope) softplus(x), minus softplus(x - ceiling) if given."""

    def __init__(self, sharpness: float, slope: float = 0.0, ceiling: float | None = None) -> None:
        super().__init__()
        self.sharpness, self.slope, self.ceiling = sharpness, slope, ceiling

    def forward(self, values: Tensor) -> Tensor:
        """The rounded activation of every value."""
        rounded = F.softplus(values, self.sharpness)
        if self.ceiling is not None:
            rounded = rounded - F.softplus(values - self.ceiling, self.sharpness)
        return rounded if self.slope == 0 else self.slope * values + (1 - self.slope) * rounded


class RoundedMaxPool(nn.Module):
    """log(mean(exp(b x))) / b over windows: between their mean (b to 0) and their maximum (b to infinity)."""

    def __init__(self, pool: nn.MaxPool2d, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.kernel, self.stride, self.padding, self.dilation = (
            _pair(size) for size in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        )

    def forward(self, images: Tensor) -> Tensor:
        """The pooled images."""
        down, across = self.padding
        padded = F.pad(images, (across, across, down, down), value=-1e4 / self.sharpness)  # its weight underflows to 0
        rows, channels, height, _ = padded.shape
        windows = F.unfold(padded, self.kernel, self.dilation, 0, self.stride)
        size = math.prod(self.kernel)
        windows = windows.view(rows, channels, size, -1) * self.sharpness
        there = (height - self.dilation[0] * (self.kernel[0] - 1) - 1) // self.stride[0] + 1
        pooled = (windows.logsumexp(2) - math.log(size)) / self.sharpness
        return pooled.view(rows, channels, there, -1)


def softened(classifier: Classifier, sharpness: float) -> Classifier:
    """The classifier with every kink rounded; smooth layers stay as they are.

    Args:
        classifier: a network of `torch.nn` activations and pools.
        sharpness: b, per unit of an activation.

    Returns:
        A smooth classifier with the same weights.

    Raises:
        ValueError: if the sharpness is not positive, or a kink is not a module of its own and so cannot be replaced.
    """
    if not 0 < sharpness < math.inf:
        raise ValueError(f"expected a positive sharpness, got {sharpness}")
    smooth = Classifier(
        _rounded(copy.deepcopy(classifier.module), sharpness),
        classifier.input_shape,
        classifier.class_names,
        classifier.mean,
        classifier.std,
        name=classifier.name,
        device=classifier.device,
    ).to(dtype=classifier.dtype)
    if left := kinks(smooth):
        raise ValueError(
            f"expected kinks that are modules of torch.nn, got {', '.join(left)} in {classifier.name};"
            " measure its curvature by differences"
        )
    return smooth


def _rounded(module: nn.Module, sharpness: float) -> nn.Module:
    replacement = _REPLACEMENTS.get(type(module))
    if replacement is not None:
        return replacement(module, sharpness)
    for name, child in module.named_children():
        setattr(module, name, _rounded(child, sharpness))
    return module


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _pool(module: nn.Module, sharpness: float) -> nn.Module:
    if not isinstance(module, nn.MaxPool2d) or module.ceil_mode or module.return_indices:
        return module  # reported as a kink that is left
    return RoundedMaxPool(module, sharpness)


_REPLACEMENTS: dict[type[nn.Module], Callable[[nn.Module, float], nn.Module]] = {
    nn.ReLU: lambda module, sharpness: RoundedRelu(sharpness),
    nn.ReLU6: lambda module, sharpness: RoundedRelu(sharpness, ceiling=6.0),
    nn.LeakyReLU: lambda module, sharpness: RoundedRelu(sharpness, slope=float(getattr(module, "negative_slope", 0))),
    nn.MaxPool2d: _pool,
}
