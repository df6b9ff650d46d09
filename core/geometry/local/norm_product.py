"""A bound on the Lipschitz constant of a chain of layers: the product of their norms, over all of image space.

F = f_n o ... o f_1 has Lip(F) <= Lip(f_n) ... Lip(f_1). The bound depends neither on the image nor on how the steep
directions of the layers align, so it is loose, often by orders of magnitude.

Layers that are affine and follow one another (a convolution and its batch norm, a linear head after flattening) are one
factor: the largest singular value of all of them together, by Lanczos iteration on the layers themselves with their
transpose, on maps of their true size, in float64 where the device has it. The iteration approaches it from below; the
residual bounds the error. The largest slopes of activations are known in closed form.

References: Szegedy et al., Intriguing properties of neural networks, ICLR 2014, section 4.3; the norm of a convolution
as an operator: Gouk et al., Regularisation of neural networks by enforcing Lipschitz continuity, Machine Learning 110,
2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from core.geometry.local.activation_regions import both
from core.geometry.local.jacobian import Products
from core.models.classifier import Classifier

_ROUNDS = 10
_TOLERANCE = 1e-9  # relative, of squares
_AFFINE = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_NEITHER = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)  # in eval mode
# largest |f'|: of SiLU and GELU where f'' = 0, to six digits, rounded up
_SLOPES: dict[type[nn.Module], float] = {
    nn.ReLU: 1.0,
    nn.ReLU6: 1.0,
    nn.Tanh: 1.0,
    nn.Sigmoid: 0.25,
    nn.Softplus: 1.0,
    nn.Hardtanh: 1.0,
    nn.SiLU: 1.099840,
    nn.GELU: 1.128905,
}


_known_products: WeakKeyDictionary[Classifier, NormProduct] = WeakKeyDictionary()


class NormProduct(NamedTuple):
    """The bound with its factors, or why there is none."""

    bound: float  # logits per ℓ2 pixel; NaN where the model is no chain of known layers
    residual: float  # the largest of the iterations, |J^T J v - s² v| / s²
    factors: tuple[float, ...]
    words: str  # the layers of each factor, or why there is no bound


def norm_product(classifier: Classifier) -> NormProduct:
    """Bound the Lipschitz constant of a classifier's logits by the product of its layers' norms.

    Args:
        classifier: any classifier; only plain chains of known layers have a bound.

    Returns:
        The bound for ℓ2 over pixels in [0, 1], normalisation included.
    """
    if classifier not in _known_products:
        _known_products[classifier] = _product(classifier)
    return _known_products[classifier]


def _product(classifier: Classifier) -> NormProduct:
    classifier = classifier if classifier.device.type == "mps" else classifier.to(dtype=torch.float64)
    layers = list(_chain(classifier.module))
    stranger = next((layer for layer in layers if not _known(layer)), None)
    if stranger is not None:
        return NormProduct(math.nan, math.nan, (), f"no bound: not a chain of known layers ({_name(stranger)})")
    values = torch.zeros((1, *classifier.input_shape), device=classifier.device, dtype=classifier.dtype)
    factors, names, worst = [max(1 / value for value in classifier.std)], ["normalisation"], 0.0
    run: list[nn.Module] = []
    for layer in (*layers, None):
        if layer is not None and isinstance(layer, (*_AFFINE, *_NEITHER)):
            run.append(layer)
            continue
        if any(isinstance(part, _AFFINE) for part in run):
            norm, residual = _norm(run, values)
            factors.append(norm)
            names.append(" and ".join(_name(part) for part in run if isinstance(part, _AFFINE)))
            worst = max(worst, residual)
        with torch.no_grad():
            for part in run:
                values = part(values)
            if layer is not None:
                values = layer(values)
        if layer is not None:
            factors.append(_slope(layer))
            names.append(_name(layer))
        run = []
    return NormProduct(math.prod(factors), worst, tuple(factors), " x ".join(names))


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of nested chains, in their order; anything else as it is."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from _chain(child)
    else:
        yield module


def _known(layer: nn.Module) -> bool:
    if type(layer) is nn.MaxPool2d:
        return bool(layer.dilation in (1, (1, 1)))
    return type(layer) in (*_AFFINE, *_NEITHER, *_SLOPES, nn.LeakyReLU)


def _name(layer: nn.Module) -> str:
    return type(layer).__name__


def _slope(layer: nn.Module) -> float:
    if isinstance(layer, nn.LeakyReLU):
        return max(1.0, abs(float(layer.negative_slope)))
    if isinstance(layer, nn.MaxPool2d):
        sides = zip(both(layer.kernel_size), both(layer.stride), strict=True)
        return math.sqrt(math.prod(-(-kernel // stride) for kernel, stride in sides))  # windows that hold a value
    return _SLOPES[type(layer)]


def _norm(run: list[nn.Module], like: Tensor) -> tuple[float, float]:
    """The largest singular value of affine layers together, by Lanczos iteration, and its residual."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    with torch.enable_grad():
        points = torch.zeros_like(like).requires_grad_()
        there = points
        for part in run:
            there = part(there)
        there = there.flatten(1)
    products = Products(there, points)

    def square(vector: np.ndarray) -> np.ndarray:
        along = torch.from_numpy(np.ascontiguousarray(vector).reshape(1, -1)).to(products.like)
        return products.transposed(products(along))[0].double().cpu().numpy()

    size = products.like.shape[1]
    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=square, dtype=np.float64)
    found, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=_TOLERANCE, maxiter=_ROUNDS * size)
    largest, vector = float(found[0]), vectors[:, 0]
    if largest <= 0:
        return 0.0, 0.0
    return math.sqrt(largest), float(np.linalg.norm(square(vector) - largest * vector)) / largest
