"""Products of a margin's second derivative with directions, for several images and directions at once.

F = f_s - f_t is the margin between two classes, H(z) its matrix of second derivatives in the pixels. H is never
formed: many products H v are computed at a fixed z, each at about the cost of a gradient.

    linearize             trace v -> H v once, then run only that linear map
    forward over reverse  the derivative of the gradient along v, computed anew each time
    double backward       the graph of the gradient is kept and run backwards; works for every network
    differences           (g(z + h v) - g(z - h v)) / 2h for unit v: not exact, but defined at a scale

Networks of ReLU and max-pooling are linear between their kinks (`core.geometry.hessian.kinks`): there H is 0, all
curvature is concentrated in the kinks, and only differences over a length h detect it.

References: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.models.classifier import Classifier
from core.runtime.batches import out_of_memory
from core.runtime.cost import count_passes
from core.runtime.progress import batch_begins

logger = logging.getLogger(__name__)

Backend = Literal["linearize", "forward over reverse", "double backward", "differences"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

Vectors = Float[Tensor, "n b d"]
Classes = Int[Tensor, " n"]

_SMALL_STEP = {torch.float32: 1e-2, torch.float64: 1e-4}  # ℓ2 pixel: balances the errors of rounding and truncation
_MOST_VALUES = 1 << 22  # pixels of one forward pass
_MATH = SDPBackend.MATH  # the attention kernel that has second derivatives; the fused ones have none


class HessianProducts:
    """v -> H v at n points, each for its own pair of classes.

    Args:
        classifier: the classifier.
        points: (n, c, h, w) the points z.
        source: (n,) the classes s.
        target: (n,) the classes t.
        backend: how products are computed.
        step: h of differences in ℓ2 pixel; a small one when None.
    """

    def __init__(
        self,
        classifier: Classifier,
        points: Float[Tensor, "n c h w"],
        source: Classes,
        target: Classes,
        *,
        backend: Backend,
        step: float | None = None,
    ) -> None:
        self.classifier, self.backend = classifier, backend
        self.dtype = torch.promote_types(classifier.dtype, torch.float32)
        self.points, self.source, self.target = points.detach().to(self.dtype), source, target
        self.step = _SMALL_STEP[self.dtype] if step is None else step
        self._kept: tuple[int, Any] = (0, None)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): the numbers of points and of values of an image."""
        return len(self.points), self.points[0].numel()

    @property
    def width(self) -> int:
        """How many directions are processed at once, for all points."""
        rows, values = self.shape
        most = max(self.classifier.batches().size, 256 if self.points.is_cuda else 64)
        return max(1, min(most, _MOST_VALUES // values) // rows)

    def select(self, rows: Int[Tensor, " m"]) -> HessianProducts:
        """The same at some of the points."""
        return HessianProducts(
            self.classifier,
            self.points[rows],
            self.source[rows],
            self.target[rows],
            backend=self.backend,
            step=self.step,
        )

    def gradient(self, points: Float[Tensor, "n c h w"] | None = None) -> Float[Tensor, "n d"]:
        """The gradient of F at the points, or at `points`."""
        return self._gradients(self.points if points is None else points, 1).flatten(1)

    def __call__(self, vectors: Vectors) -> Vectors:
        """(n, b, d): the products of b directions at each point."""
        run = {
            "linearize": self._linearize,
            "forward over reverse": self._forward_over_reverse,
            "double backward": self._double_backward,
            "differences": self._differences,
        }[self.backend]
        count_passes(products=vectors.shape[0] * vectors.shape[1])
        batch_begins()  # a kept graph runs without the classifier, which would call it
        autocast = torch.autocast(self.points.device.type, enabled=False)
        with autocast, torch.inference_mode(False), sdpa_kernel(_MATH):
            parts = [run(part) for part in vectors.to(self.dtype).split(self.width, 1)]
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def _margin(self, points: Tensor, times: int) -> Tensor:
        """F at points: `times` of them in a row for each pair of classes."""
        logits = self.classifier(points.to(self.classifier.dtype)).to(self.dtype)
        source, target = (classes.repeat_interleave(times)[:, None] for classes in (self.source, self.target))
        return (logits.gather(1, source) - logits.gather(1, target))[:, 0]

    def _gradients(self, points: Tensor, times: int) -> Tensor:
        count_passes(forwards=len(points), gradients=len(points))
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(_MATH):
            points = points.detach().clone().requires_grad_()
            margin = self._margin(points, times)
            if not margin.requires_grad:  # logits that do not depend on the image
                return torch.zeros_like(points)
            return torch.autograd.grad(margin.sum(), points, materialize_grads=True)[0].detach()

    def _double_backward(self, vectors: Tensor) -> Tensor:
        """Keeps a graph of the gradient with each point repeated once per direction from call to call."""
        rows, block, _ = vectors.shape
        with torch.enable_grad():
            if self._kept[0] != block:
                self._kept = (0, None)  # frees its memory first
                count_passes(forwards=rows * block, gradients=rows * block)
                points = self.points.repeat_interleave(block, 0).requires_grad_()
                margin = self._margin(points, block)
                gradient = torch.zeros_like(points)
                if margin.requires_grad:
                    (gradient,) = torch.autograd.grad(margin.sum(), points, create_graph=True, materialize_grads=True)
                self._kept = (block, (points, gradient))
            points, gradient = self._kept[1]
            if not gradient.requires_grad:  # constant: logits that are affine in the image
                return torch.zeros_like(vectors)
            along = vectors.reshape(points.shape)
            found = torch.autograd.grad(gradient, points, along, retain_graph=True, materialize_grads=True)
        products: Tensor = found[0].detach().reshape(vectors.shape)
        return products

    def _slope(self, points: Tensor) -> Tensor:
        slope: Tensor = torch.func.grad(lambda at: self._margin(at, 1).sum())(points)
        return slope

    def _forward_over_reverse(self, vectors: Tensor) -> Tensor:
        count_passes(forwards=len(vectors), gradients=len(vectors))
        return self._mapped(lambda tangent: torch.func.jvp(self._slope, (self.points,), (tangent,))[1], vectors)

    def _linearize(self, vectors: Tensor) -> Tensor:
        if self._kept[1] is None:
            count_passes(forwards=len(vectors), gradients=len(vectors))
            self._kept = (1, torch.func.linearize(self._slope, self.points)[1])
        return self._mapped(self._kept[1], vectors)

    def _mapped(self, product: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
        """A product of all points with one direction each, for every direction."""
        along = vectors.transpose(0, 1).reshape(-1, *self.points.shape)
        products: Tensor = torch.func.vmap(product)(along) if len(along) > 1 else product(along[0])[None]
        return products.detach().flatten(2).transpose(0, 1)

    def _differences(self, vectors: Tensor) -> Tensor:
        block = vectors.shape[1]
        long = vectors.norm(dim=2, keepdim=True)
        unit = vectors / long.clamp(min=torch.finfo(vectors.dtype).tiny)
        way = (self.step * unit).reshape(-1, *self.points.shape[1:])
        centre = self.points.repeat_interleave(block, 0)
        ahead, behind = (self._gradients(centre + side * way, block) for side in (1, -1))
        found: Tensor = (ahead - behind).reshape(vectors.shape) * (long / (2 * self.step))
        return found


def choose_backend(products: HessianProducts) -> Backend:
    """The first exact backend that the model supports at the first point; else differences with a small step.

    Double backward comes first: on one CPU core forward over reverse took 1.9 to 3 times as long on a ResNet-18 and a
    ViT-Ti, and `linearize` between 0.7 and 2.1 times as long.

    Args:
        products: points and classes; its own backend is not used.

    Returns:
        The backend.

    Raises:
        RuntimeError: if memory runs out.
    """
    first = products.select(torch.arange(1, device=products.points.device))
    direction = torch.ones((1, 1, products.shape[1]), device=products.points.device, dtype=products.dtype)
    for backend in BACKENDS[:3][::-1]:
        first.backend = backend
        try:
            first(direction)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            logger.info("%s is not supported by %s: %s", backend, products.classifier.name, error)
        else:
            return backend
    return "differences"
