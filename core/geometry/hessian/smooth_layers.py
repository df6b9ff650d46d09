"""Layers made for running backwards twice, again and again, at a fixed point and with fixed weights.

An activation evaluates its derivatives anew each time in torch; here f'(x) and f''(x) g are kept from the first run, so
that a product costs two multiplications per value:

    gradient           g -> f'(x) g
    its derivative     v -> f'(x) v  towards g,  f''(x) g v  towards x.

A convolution x -> W * x is linear: backwards it is its transpose g -> W^T g, and the derivative of that W again. torch
also computes the part that belongs to the weights, which nobody asks for: a third convolution beside these two.

The transpose of a convolution of stride s with few channels, as a first layer is, wastes most of a vector unit. Of many
images at once it is therefore run as one plain convolution of g, in which the s² ways of a row and a column to lie to
the kernel's steps are channels:

    x[s b + q - p] = sum over e of g[b - e] W[q + s e],    q = 0 .. s - 1.

References: such channels, Shi et al., Real-time single image super-resolution, CVPR 2016; SiLU, Elfwing, Uchibe and
Doya, Neural Networks 107, 2018; GELU, Hendrycks and Gimpel, 2016.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.models.classifier import Classifier

Derivatives = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # x -> f, f', f''

_FEW_CHANNELS, _MANY_IMAGES = 16, 16  # values of a vector unit in float32; below, it takes longer

_eased: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()
_by_phase: WeakKeyDictionary[nn.Conv2d, Tensor] = WeakKeyDictionary()


def eased(classifier: Classifier) -> Classifier:
    """The classifier with its smooth activations and convolutions replaced by such layers.

    Args:
        classifier: any; it is left as it is.

    Returns:
        The same function up to rounding, for backward passes alone; the classifier itself where nothing is replaced.
    """
    if (known := _eased.get(classifier)) is not None:
        return known
    if not any(_derivatives(part) or _is_plain(part) for part in classifier.module.modules()):
        return classifier
    same = copy.copy(classifier)
    same.module = _replaced(copy.deepcopy(classifier.module))
    _eased[classifier] = same
    return same


def _replaced(module: nn.Module) -> nn.Module:
    if (derivatives := _derivatives(module)) is not None:
        return TwiceDifferentiable(derivatives)
    if _is_plain(module):
        return LinearConvolution(module)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def _derivatives(module: nn.Module) -> Derivatives | None:
    """f, f' and f'' of a module that is exactly one of the known activations, without hooks."""
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) is nn.GELU:
        return gelu if module.approximate == "none" else None
    return {nn.SiLU: silu, nn.Tanh: tanh, nn.Sigmoid: sigmoid}.get(type(module))


def _is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is exactly a convolution with zeros around, given in numbers, without hooks."""
    if type(module) is not nn.Conv2d or module._forward_hooks or module._forward_pre_hooks:
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def silu(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """X s with s the sigmoid of x."""
    s = values.sigmoid()
    return values * s, s * (1 + values * (1 - s)), s * (1 - s) * (2 + values * (1 - 2 * s))


def gelu(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """X times the normal distribution function at x."""
    below = (1 + torch.erf(values / math.sqrt(2))) / 2
    density = torch.exp(-values.square() / 2) / math.sqrt(2 * math.pi)
    return values * below, below + values * density, density * (2 - values.square())


def tanh(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The hyperbolic tangent."""
    t = values.tanh()
    slope = 1 - t.square()
    return t, slope, -2 * t * slope


def sigmoid(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """1 / (1 + exp(-x))."""
    s = values.sigmoid()
    slope = s * (1 - s)
    return s, slope, slope * (1 - 2 * s)


class TwiceDifferentiable(nn.Module):
    """An activation that can be run backwards twice."""

    def __init__(self, derivatives: Derivatives) -> None:
        super().__init__()
        self.derivatives = derivatives

    def forward(self, values: Tensor) -> Tensor:
        """F(x) of every value."""
        found: Tensor = _Value.apply(values, self.derivatives)
        return found


class LinearConvolution(nn.Module):
    """A convolution with fixed weights."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, images: Tensor) -> Tensor:
        """W * x + b."""
        found: Tensor = _Convolved.apply(images, self.convolution)
        return found


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, convolution: nn.Conv2d) -> Tensor:
        """W * x + b."""
        ctx.convolution, ctx.size = convolution, images.shape
        return convolve(images, convolution, convolution.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """W^T g."""
        if not torch.is_grad_enabled():
            return transpose(gradients[0], ctx.convolution, ctx.size), None
        return _Transposed.apply(gradients[0], ctx.convolution, ctx.size), None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, convolution: nn.Conv2d, size: torch.Size) -> Tensor:
        """W^T g."""
        ctx.convolution = convolution
        return transpose(gradient, convolution, size)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor, None, None]:
        """W v."""
        return convolve(vectors[0], ctx.convolution, None), None, None


def transpose(gradient: Tensor, convolution: nn.Conv2d, size: torch.Size) -> Tensor:
    """W^T g, as a transposed convolution: a sixth faster here than torch's backward of a convolution."""
    padding = [int(each) for each in convolution.padding]  # given in numbers
    if (found := spread(gradient, convolution)) is not None:
        (top, left), (height, width) = padding, size[2:]
        return nn.functional.pad(found, (-left, width + left - found.shape[3], -top, height + top - found.shape[2]))
    lost = []  # rows and columns at the end that strides leave out
    for axis in range(2):
        reach = convolution.dilation[axis] * (convolution.kernel_size[axis] - 1) + 1
        covered = (gradient.shape[2 + axis] - 1) * convolution.stride[axis] + reach
        lost.append(size[2 + axis] + 2 * padding[axis] - covered)
    back: Tensor = nn.functional.conv_transpose2d(
        gradient,
        convolution.weight,
        None,
        convolution.stride,
        padding,
        lost,
        convolution.groups,
        convolution.dilation,
    )
    return back


def spread(gradient: Tensor, convolution: nn.Conv2d) -> Tensor | None:
    """W^T g from row and column -p on, where padding is taken away, to the last that is not 0 or somewhat further.

    None where a convolution's own transpose is as fast: of stride 1, of many channels or of few images.
    """
    stride = convolution.stride[0]
    if len(gradient) < _MANY_IMAGES or gradient.is_cuda or convolution.in_channels * stride**2 > _FEW_CHANNELS:
        return None
    if stride == 1 or convolution.stride[1] != stride or convolution.groups != 1 or max(convolution.dilation) > 1:
        return None
    if (kernel := _by_phase.get(convolution)) is None:
        kernel = _by_phase[convolution] = _phases(convolution.weight.detach(), stride)
    room = [side - 1 for side in kernel.shape[2:]]
    found: Tensor = nn.functional.pixel_shuffle(nn.functional.conv2d(gradient, kernel, None, 1, room), stride)
    return found


def _phases(weight: Tensor, stride: int) -> Tensor:
    """The kernel of that plain convolution, (channels s², outputs, height / s, width / s); torch runs correlations."""
    outputs, channels, height, width = weight.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = nn.functional.pad(weight, (0, columns * stride - width, 0, rows * stride - height))
    steps = padded.view(outputs, channels, rows, stride, columns, stride).flip(2, 4)
    kernel = steps.permute(1, 3, 5, 0, 2, 4).reshape(channels * stride**2, outputs, rows, columns)
    return kernel.contiguous(memory_format=torch.channels_last)


def convolve(images: Tensor, convolution: nn.Conv2d, bias: Tensor | None) -> Tensor:
    """W * x, with a shift or without."""
    return nn.functional.conv2d(
        images,
        convolution.weight,
        bias,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.groups,
    )


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, derivatives: Derivatives) -> Tensor:
        """F(x)."""
        value, slope, bend = derivatives(values)
        ctx.save_for_backward(values, slope, bend)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient, f'(x) g."""
        values, slope, bend = ctx.saved_tensors
        if not torch.is_grad_enabled():  # nobody will run this backwards
            return gradients[0] * slope, None
        return _Slope.apply(gradients[0], values, slope, bend), None


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, values: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
        """f'(x) g."""
        ctx.save_for_backward(slope, gradient * bend)
        return gradient * slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """f'(x) v towards g, f''(x) g v towards x."""
        slope, bent = ctx.saved_tensors
        return vectors[0] * slope, vectors[0] * bent, None, None
