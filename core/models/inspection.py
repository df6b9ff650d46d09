"""Inspection: checks whether the geometry can work with a loaded model.

Slices, boundaries and curvatures assume that an image's logits are finite, repeatable, independent of the other images
in the batch, and differentiable in the image. Each assumption is checked here. The first three are checked once for
every model in a figure: without them no boundary is defined, and the figure says so.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.errors import CheckpointError, one_line
from core.models.classifier import Classifier
from core.sources.models import MOST_CLASSES

WIDE_HEAD = 2000  # classes: with more, analyses that visit every class are slow
_ROUNDING = 1e-3  # of the spread of logits: float32 sums in another order differ by 1e-6 to 1e-4
_NOISE = 1e-5  # of the spread: the same sums on one device, where some kernels do not fix the order
_TIES = 5e-3  # of the spread of logits: coarser rounding moves boundaries by as much
_BITS = 16.0  # roundings of the largest logit: the precision left by a large common offset
_LEVELS = (0.25, 0.5, 0.75, 1.0)  # brightest pixel of each test image, so that batch statistics differ between them
_OF_MODELS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_CROWD = 65  # images at a time: a layer may mix rows only in large batches
_PATIENCE = 2.0  # s for them
_ASKED = 3  # runs: dropping a tenth of the paths is missed once in 10 million
_SLOW_SECONDS = 0.5  # per image: a slice of 512 x 512 needs about 10,000


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: of the check.
        verdict: "good", "note" (works, with a remark) or "bad".
        words: the finding, in one sentence.
        seconds: per image, for the check of speed.
    """

    name: str
    verdict: Literal["good", "note", "bad"]
    words: str
    seconds: float = 0.0


def require_classifier(module: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """The number of classes of a module that maps images to logits.

    Args:
        module: in eval mode, on the CPU.
        input_shape: (c, h, w) of one image.

    Raises:
        CheckpointError: if it does anything else, with advice.
    """
    grey = torch.zeros(2, *input_shape)
    try:
        with torch.inference_mode():
            given: Any = module(grey)
    except Exception as error:  # a model's code can raise anything for images it was not made for
        raise CheckpointError(
            f"expected a model that takes images of {_by(input_shape)}, it raised {type(error).__name__}: "
            f"{one_line(error)[:120]}; "
            "mend it, or give the size it was made for, as size=..."
        ) from error
    if isinstance(given, Tensor) and given.ndim == 2 and len(given) == 2 and 2 <= given.shape[1] <= MOST_CLASSES:
        return int(given.shape[1])
    raise CheckpointError(f"expected one row of logits per image, the model gives {_kind(given)}")


def _kind(given: Any) -> str:
    """A model's output that is not logits, with advice."""
    if isinstance(given, Tensor):
        shape = _by(tuple(given.shape[1:]))
        if given.ndim == 4:
            return f"a map of {shape} per image, as for segmentation or features; pool it into one row of logits"
        if given.ndim == 2 and given.shape[1] == 1:
            return "one number per image; wrap it so that it gives two logits, such as -z/2 and z/2"
        if given.ndim == 2:
            return (
                f"{given.shape[1]:,} numbers per image, more than any data set has classes; is it a feature extractor?"
            )
        return f"{shape} numbers for each of two images; reshape it into one row of logits"
    if isinstance(given, Mapping):
        names = ", ".join(str(name)[:30] for name in list(given)[:6])
        return f"several outputs by name ({names}); wrap it so that it returns the logits alone"
    if isinstance(given, tuple | list):
        return f"{len(given)} outputs; wrap it so that it returns the logits alone"
    return f"a {type(given).__name__}; wrap it so that it returns a tensor of logits"


def inspect(classifier: Classifier) -> tuple[Check, ...]:
    """Check everything that the geometry relies on; takes about ten forward passes.

    Args:
        classifier: any classifier.

    Returns:
        The checks, the most important first.
    """
    images = _noise(classifier)
    return (
        _count(classifier),
        *_steady(classifier),
        _mode(classifier),
        _first(classifier, images[-2:]),
        _second(classifier, images[-2:]),
        _latency(classifier),
    )


def doubts(classifiers: Iterable[Classifier]) -> tuple[str, ...]:
    """Why some classifiers have no defined boundary, in a sentence or two each; nothing about sound ones.

    Args:
        classifiers: any classifiers; each is checked once.
    """
    return tuple(
        f"{one.name}: {each.words}"
        for one in dict.fromkeys(classifiers)
        for each in _steady(one)
        if each.verdict == "bad"
    )


_tried: WeakKeyDictionary[Classifier, tuple[Check, ...]] = WeakKeyDictionary()


def _steady(classifier: Classifier) -> tuple[Check, ...]:
    """Whether an image has finite logits, the same each time and in any batch; checked once per classifier."""
    found = _tried.get(classifier)
    if found is None:
        images = _noise(classifier)
        generators = [classifier.device] if classifier.device.type == "cuda" else []  # besides the CPU's
        with torch.inference_mode(), torch.random.fork_rng(generators):
            begin = time.monotonic()
            asked = torch.stack([classifier(images) for _ in range(_ASKED)]).double()
            each = max(time.monotonic() - begin, 1e-9) / asked[..., 0].numel()  # seconds per image
            count = max(len(images), min(_CROWD, int(_PATIENCE / each)))
            crowd = images[torch.arange(count) % len(images)]
            try:
                alone = torch.cat([classifier(images[:1]), classifier(images[-1:])]).double()
                among = classifier(crowd)[: len(images)].double()
            except _OF_MODELS:  # such as statistics of one value
                alone = None
        known = (asked, *([] if alone is None else [alone]))
        largest = max(float(each.nan_to_num(0.0, 0.0, 0.0).abs().max()) for each in known)
        centred = (asked - asked.mean(-1, keepdim=True)).nan_to_num(0.0, 0.0, 0.0)
        spread = float(centred.abs().max())
        bits = _BITS * torch.finfo(classifier.dtype).eps * largest
        again = _repeats(_apart(asked[1:], asked[:1]), spread, _NOISE * spread + bits)
        if again.verdict == "bad":
            rows = Check("rows do not mix", "note", "Not known: the answers differ from time to time.")
        elif alone is None:
            rows = Check("rows do not mix", "bad", "It takes no image alone, only several at a time.")
        else:
            off = max(_apart(asked[0, [0, -1]], alone), _apart(asked[0], among))
            rows = _rows(off, spread, _ROUNDING * spread + bits)
        rounding = torch.finfo(classifier.dtype).eps * largest
        found = _tried[classifier] = _finite(asked[0]), _digits(spread, rounding), again, rows
    return found


def _noise(classifier: Classifier) -> Tensor:
    """A few images of noise of increasing brightness."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(_LEVELS), *classifier.input_shape, generator=generator, dtype=torch.float64)
    return (images * torch.tensor(_LEVELS).view(-1, 1, 1, 1)).to(classifier.device, classifier.dtype)


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference of logits; infinite if one is finite and the other is not."""
    one, other = torch.broadcast_tensors(one, other)
    same = (one == other) | (one.isnan() & other.isnan())
    return float((one - other).abs().nan_to_num(torch.inf, torch.inf).where(~same, 0.0).max())


def _count(classifier: Classifier) -> Check:
    count = classifier.num_classes
    if count < WIDE_HEAD:
        return Check("classes", "good", f"{count:,}.")
    words = f"{count:,}: a wide head; slices keep the classes they meet, but what looks at every class is slow."
    return Check("classes", "note", words)


def _finite(logits: Tensor) -> Check:
    if bool(torch.isfinite(logits).all()):
        return Check("finite logits", "good", f"From {float(logits.min()):.3g} to {float(logits.max()):.3g} on noise.")
    return Check(
        "finite logits",
        "bad",
        "NaN or infinity on noise, where no boundary is defined: the weights or the normalisation are wrong.",
    )


def _digits(spread: float, rounding: float) -> Check:
    if rounding <= _TIES * spread or spread == 0:
        return Check("digits of logits", "good", f"They differ by {spread:.3g}, and are rounded to {rounding:.1g}.")
    words = f"They differ by {spread:.3g}, but an offset common to all rounds them to {rounding:.1g}"
    return Check(
        "digits of logits",
        "bad",
        f"{words}: ties decide, and no boundary is defined as finely as it is drawn. Subtract it in the model.",
    )


def _repeats(off: float, spread: float, rounding: float) -> Check:
    if off <= rounding:
        return Check("repeats itself", "good", f"The same images {_ASKED} times: the same logits.")
    words = f"The same images {_ASKED} times: logits differ by {_share(off, spread)} of their spread."
    return Check("repeats itself", "bad", f"{words} It draws at random or keeps a state, so no boundary is defined.")


def _rows(off: float, spread: float, rounding: float) -> Check:
    words = f"One image alone and among {len(_LEVELS)}: logits differ by {_share(off, spread)} of their spread."
    if off <= rounding:
        return Check("rows do not mix", "good", words)
    return Check("rows do not mix", "bad", f"{words} The batch changes the answer, so no boundary is defined.")


def _share(off: float, spread: float) -> str:
    return f"{off / spread if spread else off:.1g}"


def _mode(classifier: Classifier) -> Check:
    training = sum(part.training for part in classifier.module.modules())
    learning = sum(parameter.requires_grad for parameter in classifier.module.parameters())
    if training or learning:
        return Check("frozen", "bad", f"{training} parts in training mode, {learning} weights that keep gradients.")
    return Check("frozen", "good", "Evaluation mode, and no weight keeps a gradient.")


def _first(classifier: Classifier, images: Tensor) -> Check:
    try:
        slope = _slope(classifier, images.clone().requires_grad_(), create_graph=False)
    except RuntimeError as error:
        return Check("gradients", "bad", f"None in the image: {str(error)[:100]}.")
    if not bool(torch.isfinite(slope).all()):
        return Check("gradients", "bad", "NaN or infinity in the image.")
    if not bool(slope.any()):
        return Check("gradients", "bad", "Zero everywhere: the logits do not see the image.")
    return Check("gradients", "good", "There, finite, and not zero.")


def _second(classifier: Classifier, images: Tensor) -> Check:
    point = images.clone().requires_grad_()
    name = "second derivatives"
    try:
        slope = _slope(classifier, point, create_graph=True)
        if not slope.requires_grad:
            return Check(name, "note", "Zero: piecewise linear, so curvature needs a scale.")
        products = torch.autograd.grad((slope * slope.detach()).sum(), point, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        return Check(name, "note", f"None, so there is no curvature: {str(error)[:100]}.")
    product = products[0]
    if not bool(product.any()):
        return Check(name, "note", "Zero: piecewise linear, so curvature needs a scale.")
    if not bool(torch.isfinite(product).all()):
        return Check(name, "note", "NaN or infinity, so there is no curvature.")
    return Check(name, "good", "There, and finite.")


def _slope(classifier: Classifier, images: Tensor, *, create_graph: bool) -> Tensor:
    """The gradient of the margin of the first of some images: a few models do not take a single one."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
        two = classifier(images)[0].topk(2).values
        (slope,) = torch.autograd.grad(two[0] - two[1], images, create_graph=create_graph)
    return slope


def seconds_per_image(classifier: Classifier) -> tuple[float, float]:
    """The time of a forward pass for one image alone, and per image in a batch of 16.

    Args:
        classifier: any classifier.

    Returns:
        Seconds, the shorter of two runs each.
    """

    def seconds(images: Tensor) -> float:
        return min(timeit.repeat(lambda: classifier(images).cpu(), repeat=2, number=1)) / len(images)

    with torch.inference_mode():
        return seconds(classifier.grey()), seconds(classifier.grey(16))


def _latency(classifier: Classifier) -> Check:
    try:
        took = seconds_per_image(classifier)
    except _OF_MODELS as error:
        return Check("speed", "note", f"Not measured, for one image alone it raises: {str(error)[:100]}.")
    words = f"{1e3 * took[0]:.3g} ms for one image, {1e3 * took[1]:.3g} ms each among 16, on {classifier.device}."
    slow = min(took) > _SLOW_SECONDS
    words += " Choose a small resolution." if slow else ""
    return Check("speed", "note" if slow else "good", words, min(took))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
