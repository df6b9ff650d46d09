"""Sparse perturbations: the fewest pixels that change the class.

A sparse change r of an image x keeps to a support, a few pixels, and crosses the boundary: with the signed margin
F = f_s - max_{k != s} f_k of the image's class s, F(x + r) < -kappa F(x), and x + r is in the pixel box [0, 1], no
entry further than a bound D from x. To find the smallest support is NP-hard in general; two methods look for small
ones,

- "sparsefool" by the geometry of the boundary (`core.geometry.sparse.sparsefool`), with several pushes lambda side by
  side,
- "sigma_zero" by descent on a smooth count (`core.geometry.sparse.sigma_zero`),

and both end in pruning and exchange (`core.geometry.sparse.pruning`), after which no item can be restored alone. A
count found is a bound from above: another support may be smaller. Pixels are places, entries are their channels'
values; the order "pixel" (or unit) moves all channels of a pixel, the others ("l0", "l1", "entry") single entries.

References: Modas, Moosavi-Dezfooli, Frossard, SparseFool: a few pixels make a big difference, CVPR 2019 (arXiv
1811.02248); Cinà et al., σ-zero, ICLR 2025 (arXiv 2402.01879).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.boundary.signed_margin import length
from core.geometry.sparse.attribution import pictures
from core.geometry.sparse.box_solver import SPARSE_ORDERS, SparseOrder
from core.geometry.sparse.counted_margin import UNITS, CountedMargin, SparseProblem, Unit, batch_size
from core.geometry.sparse.pruning import exchange, prune
from core.geometry.sparse.sigma_zero import sigma_zero
from core.geometry.sparse.sparsefool import (
    FOUND,
    TARGET_RULES,
    UNDEFINED,
    Attempts,
    TargetRule,
    first_planes,
    sparsefool,
)
from core.models.classifier import Classifier
from core.result import ClassifierResult, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

Method = Literal["sparsefool", "sigma_zero"]
METHODS: tuple[Method, ...] = get_args(Method)

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "found": "The class changes with these pixels, by the margin demanded.",
        "stalled": "The planes did not lead across the boundary within the loops allowed; allow more of them.",
        "infeasible": "To first order no change within the bound crosses the boundary; allow more, or a smaller kappa.",
        "not reached": "No other class was met within the steps allowed; allow more of them.",
        "no direction": "The gradient vanished or was not finite: nothing says where the boundary is.",
        "undefined": "A logit is not finite at the image, or on the way.",
    }
)
_WORDS = tuple(STATUSES)  # in the order of the numbers in core.geometry.sparse.sparsefool
_JITTER = 2 / 255  # pixel: how far from the image other seeds than 0 begin


@dataclass(frozen=True, kw_only=True, eq=False)
class SparsePerturbation(ClassifierResult):
    """A sparse change of each image that changes its class; NaN and -1 where none was found."""

    adversarial: np.ndarray = quantity("pixel", "n c h w")
    found: np.ndarray = quantity("", "n", words="images flipped")
    status: np.ndarray = quantity("", "n")  # a word of STATUSES
    source_class: np.ndarray = quantity("", "n")  # -1 where undefined
    target_class: np.ndarray = quantity("", "n")
    pixels: np.ndarray = quantity("pixels", "n", words="pixels changed")  # places changed in any channel
    entries: np.ndarray = quantity("entries", "n", words="values changed")  # values changed
    l2: np.ndarray = quantity("ℓ2 pixel", "n", words="length of the change")
    l1: np.ndarray = quantity("ℓ1 pixel", "n", words="sum of the changes")
    linf: np.ndarray = quantity("ℓ∞ pixel", "n", words="largest change")
    rank: np.ndarray = quantity("", "n h w")  # the place at which a pixel entered, 0 first; -1 off the support
    curve: np.ndarray = quantity("logit", "n pixels")  # F after the first j = 0, 1, ... pixels of that order
    reliance: np.ndarray = quantity("logit", "n h w")  # by how much F rises if the pixel is restored; NaN off it
    capacity: np.ndarray = quantity("logit", "n h w")  # G: how far the pixel can lower f_s - f_t, to first order at x
    capacity_at_boundary: np.ndarray = quantity("logit", "n h w")  # the same with the gradient of F at `boundary`
    dense: np.ndarray = quantity("", "n c h w")  # unit normal at `boundary`, towards the other class
    boundary: np.ndarray = quantity("pixel", "n c h w")  # DeepFool's point, whose plane SparseFool starts from
    loops: np.ndarray = quantity("", "n")  # planes of SparseFool, or steps of sigma-zero
    multiplier: np.ndarray = quantity("", "n")  # lambda of the attempt kept; NaN for sigma-zero
    amplitude: np.ndarray = quantity("", "n")  # least share of the change, on this support, that crosses
    survives_rounding: np.ndarray = quantity(
        "", "n", words="changes that survive rounding"
    )  # whether the class still differs with values k / 255
    history: np.ndarray = quantity("pixels", "n step")  # fewest so far; NaN before the first
    history_gradients: np.ndarray = quantity("gradients", "n step")  # of this image until then
    image_forwards: np.ndarray = quantity("forwards", "n")  # of the search; pictures of the result left out
    image_gradients: np.ndarray = quantity("gradients", "n")
    method: str = quantity("")
    order: str = quantity("")  # of SparseFool
    counted: str = quantity("")  # "pixel" or "entry"; `unit` is a method of every result
    bound: float = quantity("pixel")

    def heatmap(self) -> np.ndarray:
        """(n, h, w) the support of each image: which pixels were changed; nowhere where none was found."""
        return self.rank >= 0


@counted
def sparse_perturbation(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    method: Method = "sparsefool",
    order: SparseOrder = "pixel",
    unit: Unit = "pixel",
    target_rule: TargetRule = "l2",
    lambdas: Sequence[float] = (1.5, 3.0),
    prune: bool = True,
    exchanges: int = 1,
    bound: float = 1.0,
    max_loops: int = 50,
    steps: int = 100,
    kappa: float = 1e-4,
    tied: bool = False,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SparsePerturbation:
    """Find a small set of pixels that changes the class of each image.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: pixel values in [0, 1].
        method: "sparsefool" or "sigma_zero".
        order: size that SparseFool's solver minimises: "pixel", "l0" (entries) or "l1" (as published).
        unit: items that sigma-zero counts: "pixel" or "entry".
        target_rule: SparseFool heads for the class whose linearised boundary is nearest ("l2"), or is crossed with the
            fewest items ("l0"); it may meet any.
        lambdas: pushes of SparseFool's plane, each at least 1; the attempt with the fewest items is kept.
        prune: restore pixels that need not change.
        exchanges: searches for smaller supports nearby; each takes about a fifth of the time.
        bound: D, the largest change of one entry.
        max_loops: planes of SparseFool before an attempt is given up.
        steps: steps of sigma-zero.
        kappa: the margin demanded, as a share of that of the image; at the boundary itself rounding would decide.
        tied: the channels of an image are equal and stay so, as in a grey image with three channels.
        seed: 0 starts at the image; other numbers start at a point within 2/255 of it, to test the stability of the
            result.
        on_progress: called with the fraction done.

    Returns:
        The changes; an image without one is a row of NaN with its `status`.

    Raises:
        ValueError: if there is no image, or an option is out of range.
        ImageError: if a value is not finite or not in [0, 1], the shape is not the classifier's, or tied channels
            differ.
    """
    options = _Options(
        method, order, unit, target_rule, tuple(lambdas), prune, exchanges, bound, max_loops, steps, kappa, tied, seed
    )
    options.check()
    pixels = classifier.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one image, got none")
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise ImageError("expected images in [0, 1], got other values; sparse changes stay inside the pixel box")
    if tied and not bool((pixels == pixels[:, :1]).all()):
        raise ImageError("expected images whose channels are equal, got others; leave out `tied`")
    search = _Search(classifier, options)
    with engine_mode(classifier.device):
        arrays = _in_chunks(search, pixels.clone(), on_progress)
    return SparsePerturbation(
        **arrays,
        method=method,
        order=order if method == "sparsefool" else "",
        counted=options.counted,
        bound=float(bound),
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


class _Options(NamedTuple):
    method: Method
    order: SparseOrder
    unit: Unit
    rule: TargetRule
    lambdas: tuple[float, ...]
    prune: bool
    exchanges: int
    bound: float
    max_loops: int
    steps: int
    kappa: float
    tied: bool
    seed: int

    def check(self) -> None:
        choices = (self.method, METHODS), (self.order, SPARSE_ORDERS), (self.unit, UNITS), (self.rule, TARGET_RULES)
        for value, known in choices:
            if value not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {value!r}")
        if not self.lambdas or not all(1 <= each < math.inf for each in self.lambdas):
            raise ValueError(f"expected at least one lambda, each at least 1, got {self.lambdas}")
        if not 0 < self.bound <= 1:
            raise ValueError(f"expected a value bound in (0, 1], got {self.bound}")
        if min(self.max_loops, self.steps, self.exchanges + 1) < 1:
            raise ValueError(f"expected at least one loop and step, got {self.max_loops} and {self.steps}")
        if not 0 < self.kappa < math.inf:
            raise ValueError(f"expected a positive margin kappa, got {self.kappa}")

    @property
    def counted(self) -> Unit:
        """The unit of the items to minimise."""
        if self.method == "sigma_zero":
            return self.unit
        return "pixel" if self.order == "pixel" else "entry"

    @property
    def rows(self) -> int:
        """Rows searched together per image."""
        return len(self.lambdas) if self.method == "sparsefool" else 1


def _in_chunks(search: _Search, images: Tensor, on_progress: OnProgress) -> dict[str, Any]:
    """The arrays of the result, chunk by chunk: as many images as the memory of their graphs allows."""
    chunks = Chunks(search.size, each=search.options.rows)
    jitter = _JITTER * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(search.options.seed)) - 1)
    parts = chunks(len(images), lambda rows, tick: search(images[rows], jitter[rows], chunks.size, tick), on_progress)
    return {name: _stacked([part[name] for part in parts], "nan" if name == "curve" else "last") for name in parts[0]}


def _stacked(parts: list[np.ndarray], beyond: str) -> np.ndarray:
    """Concatenate chunks; shorter second axes are padded with NaN or with their last value."""
    if parts[0].ndim == 2:
        longest = max(part.shape[1] for part in parts)
        ends = [part[:, -1:].repeat(longest - part.shape[1], 1) for part in parts]
        more = [np.full_like(end, np.nan) if beyond == "nan" else end for end in ends]
        parts = [np.concatenate(pair, 1) for pair in zip(parts, more, strict=True)]
    return np.concatenate(parts)


class _Search:
    def __init__(self, classifier: Classifier, options: _Options) -> None:
        self.options, self._classifier = options, classifier
        self.size = batch_size(classifier)

    def __call__(
        self, images: Tensor, jitter: Tensor, size: int, tick: Callable[[float], None]
    ) -> dict[str, np.ndarray]:
        """All arrays of `SparsePerturbation` for these images."""
        counted = CountedMargin(self._classifier, size, self.options.tied)
        images = images.to(counted.dtype)
        seen, drawn = (images[:, :1], jitter[:, :1]) if self.options.tied else (images, jitter)
        logits = counted.open(seen)
        where = torch.isfinite(logits).all(1).nonzero()[:, 0]
        if 0 < len(where) < len(images):  # the others have no class to start from
            logits = counted.open(seen[where])
        low = (seen[where] - self.options.bound).clamp(min=0)
        high = (seen[where] + self.options.bound).clamp(max=1)
        problem = SparseProblem(counted, seen[where], low, high, self.options.kappa, self.options.counted)
        found = self._search(problem, logits, drawn[where], tick) if len(where) else {}
        return _arrays(images, where, found)

    def _search(
        self, problem: SparseProblem, logits: Tensor, jitter: Tensor, tick: Callable[[float], None]
    ) -> dict[str, Tensor]:
        """The rows of the result for images with a class."""
        options, counted, images = self.options, problem.counted, problem.images
        every = torch.arange(len(images), device=images.device)
        start = images
        if options.seed:
            start = (images + jitter.to(images)).maximum(problem.low).minimum(problem.high)
        place: Tensor | None = None
        if options.method == "sparsefool":
            planes = first_planes(problem, logits, start, rule=options.rule, order=options.order)
            attempts = sparsefool(
                problem,
                planes,
                order=options.order,
                multipliers=options.lambdas,
                max_loops=options.max_loops,
                tick=lambda share: tick(0.8 * share),
            )
            best = _best(problem, attempts)
            adversarial, status, loops = attempts.adversarial[best], attempts.status[best], attempts.loops[best]
            multiplier, place = attempts.multiplier[best], attempts.place[best]
        else:
            descent = sigma_zero(problem, every, start, steps=options.steps, tick=lambda share: tick(0.8 * share))
            adversarial, status, loops = descent
            multiplier = torch.full_like(images[:, 0, 0, 0], torch.nan)
        rows = (status == FOUND).nonzero()[:, 0]
        if options.prune and len(rows):
            adversarial[rows] = exchange(
                problem, rows, prune(problem, rows, adversarial[rows]), rounds=options.exchanges
            ).adversarial
        tick(0.9)
        spent = {
            "history": torch.stack([best for best, _ in counted.records], 1),
            "history_gradients": torch.stack([gradients for _, gradients in counted.records], 1),
            "image_forwards": counted.forwards_of.clone(),
            "image_gradients": counted.gradients_of.clone(),
        }
        if options.method == "sigma_zero":
            planes = first_planes(problem, logits, images, rule="l2", order="pixel")
        return {
            **_change(problem, adversarial, status, self._classifier.input_shape[0]),
            **pictures(problem, adversarial, rows, place, planes),
            **spent,
            "loops": loops,
            "multiplier": multiplier,
            "source_class": counted.source,
        }


def _best(problem: SparseProblem, attempts: Attempts) -> Tensor:
    """The attempt with the fewest items of each image; without any, the one that came furthest."""
    changed = problem.items(attempts.adversarial) != problem.items(problem.images)[attempts.number]
    count = changed.any(1).sum(1).double()
    most = count.amax() + 1
    cost = torch.where(attempts.status == FOUND, count, most + attempts.status)
    images = len(problem.images)  # attempts stand multiplier by multiplier
    return cost.view(-1, images).argmin(0) * images + torch.arange(images, device=cost.device)


def _change(problem: SparseProblem, adversarial: Tensor, status: Tensor, channels: int) -> dict[str, Tensor]:
    """The images with their changes, and how large these are."""
    found = status == FOUND
    adversarial, images = (each.expand(-1, channels, -1, -1) for each in (adversarial, problem.images))
    change = adversarial - images
    sizes = {"pixels": (change != 0).any(1).flatten(1).sum(1), "entries": (change != 0).flatten(1).sum(1)}
    sizes |= {"l2": length(change, 2), "l1": length(change, 1), "linf": length(change, "inf")}
    lengths = {name: size.to(change.dtype).where(found, torch.nan) for name, size in sizes.items()}
    return {"adversarial": adversarial.where(found.view(-1, 1, 1, 1), torch.nan), "status": status, **lengths}


_MISSING: Mapping[str, int | bool] = MappingProxyType(  # of fields that hold no real numbers
    {
        "status": UNDEFINED,
        "source_class": -1,
        "target_class": -1,
        "rank": -1,
        "loops": 0,
        "survives_rounding": False,
        "history_gradients": 0,
        "image_forwards": 1,
        "image_gradients": 0,
    }
)


def _arrays(images: Tensor, where: Tensor, found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arrays on the CPU, with rows for the images that have no class."""
    sizes = dict(zip("nchw", images.shape, strict=True))
    sizes |= {"pixels": found["curve"].shape[1] if found else 1, "step": found["history"].shape[1] if found else 1}
    arrays: dict[str, Any] = {}
    for name in (entry.name for entry in fields(SparsePerturbation) if entry.metadata["axes"]):
        shape = tuple(sizes[axis] for axis in SparsePerturbation.axes(name))
        missing: float = _MISSING.get(name, math.nan)
        rows = torch.full(shape, missing, dtype=None if name in _MISSING else images.dtype)
        if found and name != "found":
            rows[where.cpu()] = found[name].to(rows.dtype).cpu()
        arrays[name] = rows.to(torch.int32).numpy() if rows.dtype == torch.int64 else rows.numpy()
    arrays["found"] = arrays["status"] == FOUND
    arrays["status"] = np.array(_WORDS)[arrays["status"]]
    return arrays
