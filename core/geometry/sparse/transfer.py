"""Transfer of sparse perturbations: from one model to another, and from one image to another of its class.

For model A's perturbation of an image, with support S, the class that model B predicts is compared with that of the
unperturbed image

- at the same change: the colours of A painted on S;
- at the same support: the best colours for B on S, within the box, by projected gradient signs on B's own margin;
- at the same patch: the colours of A painted on S of another image of the same class.

Each has controls with the same number of pixels: the same support, moved cyclically within the image by a random shift,
which keeps its shape; and random pixels. Only the excess over the controls is transfer; the rest comes from changing
that many pixels anywhere.

References: the claim that supports are shared between networks to some degree is that of Modas, Moosavi-Dezfooli,
Frossard, SparseFool, CVPR 2019 (arXiv 1811.02248). Signs of gradients within a box: Madry et al., Towards deep learning
models resistant to adversarial attacks, ICLR 2018 (arXiv 1706.06083), here on S alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.geometry.boundary.bracketing import compaction_schedule
from core.geometry.boundary.signed_margin import SignedMargin
from core.geometry.common.intervals import wilson
from core.geometry.sparse.box_solver import SparseOrder
from core.geometry.sparse.sparse_perturbation import Method, SparsePerturbation, sparse_perturbation
from core.geometry.sparse.support_overlap import random_supports
from core.geometry.sparse.support_statistics import agreements, flat, unit_of
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.batches import Batches, Chunks
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

CONDITIONS = (
    "change",
    "change, shifted",
    "change, random pixels",
    "support",
    "support, shifted",
    "random pixels",
    "patch on another image",
    "patch on another image, shifted",
)
CONTROLS = {0: (1, 2), 3: (4, 5), 6: (7,)}
"""For each condition that is asked about, the places of its controls in `CONDITIONS`."""

_REOPTIMISED = ("support", "support, shifted", "random pixels")
_SHORTEST = 0.1  # of the box: the last step, which on the demo models flips more (0.92, 0.88) than 0.01 (0.91, 0.85)
_MOST_VALUES = 1 << 22  # pixels of a chunk, for each of which there is a gradient


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer(Result):
    """How often one model's perturbations flip another model; NaN where there is no perturbation."""

    flipped: np.ndarray = quantity("", "condition source target")  # share of the perturbations found on the source
    flipped_low: np.ndarray = quantity("", "condition source target")
    flipped_high: np.ndarray = quantity("", "condition source target")
    same_target: np.ndarray = quantity("", "condition source target")  # share that went where the source model went
    count: np.ndarray = quantity("", "condition source")  # perturbations asked about
    agreement: np.ndarray = quantity("", "source target")  # mean IoU of both models' supports of the same image
    agreement_chance: np.ndarray = quantity("", "source target")
    models: np.ndarray = quantity("", "source")  # names
    conditions: np.ndarray = quantity("", "condition")  # words of CONDITIONS
    pixels: np.ndarray = quantity("pixel", "source n")
    method: str = quantity("")
    order: str = quantity("")
    bound: float = quantity("pixel")
    steps: int = quantity("")
    seed: int = quantity("")
    num_classes: int = quantity("")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How often the perturbations of one model flip another."""
        for at in np.ndindex(self.flipped.shape):
            condition, source, target = self.conditions[at[0]], self.models[at[1]], self.models[at[2]]
            yield Number(
                name=f"share flipped, {condition}, from {source} to {target}",
                value=float(self.flipped[at]),
                interval=(float(self.flipped_low[at]), float(self.flipped_high[at])),
            )


@counted
def transfer(
    classifiers: Sequence[Classifier],
    images: Float[Tensor, "n c h w"],
    *,
    method: Method = "sparsefool",
    order: SparseOrder = "pixel",
    bound: float = 1.0,
    steps: int = 20,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Transfer:
    """Measure how often each model's sparse perturbations flip each model, itself included.

    Args:
        classifiers: models of the same images and classes.
        images: values in [0, 1], classified correctly by all models.
        method: see `core.geometry.sparse.sparse_perturbation`.
        order: see `core.geometry.sparse.sparse_perturbation`.
        bound: largest change of each value, also where colours are painted elsewhere.
        steps: gradients for the search of new colours on a support.
        seed: seed of shifts, random pixels and other images.
        on_progress: called with the fraction done.

    Returns:
        Shares with intervals for every condition and ordered pair of models.

    Raises:
        ValueError: if there is no model or image, or models differ in their classes.
        ImageError: if an image does not fit a classifier or is not in [0, 1].

    Reference:
        Modas, Moosavi-Dezfooli, Frossard, SparseFool, CVPR 2019.
    """
    if not classifiers or len({one.num_classes for one in classifiers}) > 1:
        raise ValueError(
            f"expected models of the same classes, got {[one.num_classes for one in classifiers]} classes; compare"
            " models of one family"
        )
    if steps < 1:
        raise ValueError(f"expected at least one step, got {steps}")
    share = 1 / (2 * len(classifiers))
    perturbed: list[SparsePerturbation] = []
    for place, classifier in enumerate(classifiers):
        perturbed.append(
            sparse_perturbation(
                classifier,
                images,
                method=method,
                order=order,
                unit=unit_of(order),
                bound=bound,
                on_progress=part_of(on_progress, place * share, (place + 1) * share),
            )
        )
    answers = []
    with torch.inference_mode(False), torch.no_grad():
        judges = [_Judge(classifier, images, bound, steps) for classifier in classifiers]
        for place, found in enumerate(perturbed):
            questions = _questions(found, seed)
            for column, judge in enumerate(judges):
                on_progress(0.5 + (place + column / len(judges)) * share)
                answers.append(judge(questions, found))
    table = np.array(answers).reshape(len(judges), len(judges), len(CONDITIONS), 3)
    flips, alike = (table[..., column].transpose(2, 0, 1) for column in (0, 1))
    count = table[:, 0, :, 2].copy().T
    total = np.where(count > 0, count, np.nan)[:, :, None]
    low, high = wilson(flips, count[:, :, None])
    agreement, chance = agreements(perturbed)
    return Transfer(
        flipped=flips / total,
        flipped_low=low,
        flipped_high=high,
        same_target=alike / total,
        count=count,
        agreement=agreement,
        agreement_chance=chance,
        models=np.array([classifier.name for classifier in classifiers]),
        conditions=np.array(CONDITIONS),
        pixels=np.stack([found.pixels for found in perturbed]),
        method=method,
        order=order,
        bound=bound,
        steps=steps,
        seed=seed,
        num_classes=classifiers[0].num_classes,
        **spent(),
    )


class _Question(NamedTuple):
    """Pixels and colours to paint on images: one row for each perturbation asked about."""

    of: np.ndarray  # (m,) the perturbation's row
    on: np.ndarray  # (m,) the row of the image that is painted
    marks: np.ndarray  # bool (m, h, w)
    colours: np.ndarray  # (m, c, h, w), only those under the marks are used


def _questions(found: SparsePerturbation, seed: int) -> dict[str, _Question]:
    rows = np.flatnonzero(found.found)
    support, colours = found.heatmap()[rows], found.adversarial[rows]
    height, width = support.shape[1:]
    generator = torch.Generator().manual_seed(seed)
    shift = 1 + torch.randint(max(1, height * width - 1), (len(rows),), generator=generator).numpy()
    away = (shift // width, shift % width)  # never 0, 0
    moved, moved_colours = _rolled(support[:, None], away)[:, 0], _rolled(colours, away)
    marks = flat(support)
    random = random_supports(marks.sum(1), height * width, generator)
    scattered = _carried(colours, marks, random)
    other = _others(found.source_class[rows])
    there = other >= 0
    random = random.reshape(support.shape)
    return {
        "change": _Question(rows, rows, support, colours),
        "change, shifted": _Question(rows, rows, moved, moved_colours),
        "change, random pixels": _Question(rows, rows, random, scattered),
        "support": _Question(rows, rows, support, colours),
        "support, shifted": _Question(rows, rows, moved, moved_colours),
        "random pixels": _Question(rows, rows, random, scattered),
        "patch on another image": _Question(rows[there], rows[other[there]], support[there], colours[there]),
        "patch on another image, shifted": _Question(
            rows[there], rows[other[there]], moved[there], moved_colours[there]
        ),
    }


def _rolled(maps: np.ndarray, away: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Each image (n, c, h, w) moved cyclically by its own number of rows and columns."""
    n, c, height, width = maps.shape
    down, right = (each[:, None] for each in away)
    y, x = (np.arange(height) - down) % height, (np.arange(width) - right) % width
    image, channel = np.arange(n)[:, None, None, None], np.arange(c)[:, None, None]
    moved: np.ndarray = maps[image, channel, y[:, None, :, None], x[:, None, None]]
    return moved


def _carried(colours: np.ndarray, taken: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The colours at the marked pixels of each image, in order, put at as many others: (n, c, h, w)."""
    n, c, height, width = colours.shape
    result = colours.reshape(n, c, height * width).swapaxes(1, 2).copy()
    result[given] = result[taken]  # both go row by row, so that each image keeps its own colours
    return result.swapaxes(1, 2).reshape(colours.shape)


def _others(source: np.ndarray) -> np.ndarray:
    """For each row the next one of its class, the first after the last; -1 where it is the only one."""
    other = np.full(len(source), -1)
    for k in np.unique(source):
        members = np.flatnonzero(source == k)
        if len(members) > 1:
            other[members] = np.roll(members, -1)
    return other


class _Judge:
    """Compares the class that a model predicts for painted images with that for the unpainted ones."""

    def __init__(self, classifier: Classifier, images: Tensor, bound: float, steps: int) -> None:
        self._classifier, self._steps = classifier, steps
        self.margin = SignedMargin(classifier)
        self._images = classifier.accept(images).to(self.margin.dtype).clone()
        self._low, self._high = (self._images - bound).clamp(min=0), (self._images + bound).clamp(max=1)
        self._size = max(1, min(classifier.batches().size, _MOST_VALUES // self._images[0].numel()))
        self._clean = self._labels(self._images)

    def __call__(self, questions: dict[str, _Question], found: SparsePerturbation) -> list[list[int]]:
        """By condition: how many flipped, how many of them to the same class, and how many were asked about."""
        answers, clean = [], self._clean.cpu().numpy()
        for name in CONDITIONS:
            question = questions[name]
            with torch.autocast(self._images.device.type, enabled=False):
                label = self._repainted(question) if name in _REOPTIMISED else self._painted(question)
            before = clean[question.on]
            flips = (label != before) & (label >= 0)
            same = flips & (label == found.target_class[question.of])
            answers.append([int(flips.sum()), int(same.sum()), len(label)])
        return answers

    def _labels(self, images: Tensor) -> Tensor:
        """The class of each image; -1 where a logit is not finite."""
        if not len(images):
            return torch.empty(0, dtype=torch.int64, device=images.device)

        def label(rows: Tensor) -> Tensor:
            logits = self.margin.logits(rows)
            return logits.argmax(1).where(torch.isfinite(logits).all(1), -1)

        return Batches(self._size)(label, images)

    def _painted(self, question: _Question) -> np.ndarray:
        """The class at the colours given, kept within the bound: (m,)."""
        on = torch.as_tensor(question.on, device=self._images.device)
        marks = torch.as_tensor(question.marks, device=self._images.device)[:, None]
        colours = torch.as_tensor(question.colours).to(self._images)
        colours = colours.maximum(self._low[on]).minimum(self._high[on])
        return self._labels(torch.where(marks, colours, self._images[on])).cpu().numpy()

    def _repainted(self, question: _Question) -> np.ndarray:
        """The class at the best colours found on the marks: (m,)."""
        labels = Chunks(self._size)(
            len(question.on), lambda rows, _: self._cross(question.on[rows], question.marks[rows])
        )
        return np.concatenate([np.empty(0, np.int64), *labels])

    def _cross(self, on: np.ndarray, marks: np.ndarray) -> np.ndarray:
        where = torch.as_tensor(on, device=self._images.device)
        box = self._low[where], self._high[where]
        return (
            cross_on_support(
                self.margin,
                self._images[where],
                self._clean[where],
                torch.as_tensor(marks, device=where.device),
                box,
                self._steps,
            )
            .cpu()
            .numpy()
        )


def cross_on_support(
    margin: SignedMargin,
    images: Float[Tensor, "n c h w"],
    source: Int[Tensor, " n"],
    marks: Bool[Tensor, "n h w"],
    box: tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]],
    steps: int,
) -> Int[Tensor, " n"]:
    """Search for colours on a fixed support that take each image to another class.

    The first step goes to the corner of the box where the linearised margin is least, which is exact for affine
    margins; later steps along the signs of the gradient shrink to a tenth of the box.

    Args:
        margin: the signed margin.
        images: starting points.
        source: the class of each.
        marks: the pixels that may change.
        box: the least and the largest value of each entry.
        steps: largest number of gradients; a row stops once it has crossed.

    Returns:
        The class reached; the source class where none was, -1 where a logit is not finite.
    """
    low, high = box
    at, reached = images.clone(), source.clone()
    rows = torch.arange(len(images), device=images.device)
    drops = compaction_schedule(steps, images.device)
    for step in range(steps):
        slope = margin.slope(at[rows], source[rows])
        crossed = slope.margin < 0
        reached[rows] = torch.where(crossed, slope.runner_up, reached[rows])
        reach = _SHORTEST ** (step / max(1, steps - 1)) * (high[rows] - low[rows])
        way = -slope.gradient.sign() * reach
        new = (at[rows] + way).maximum(low[rows]).minimum(high[rows])
        at[rows] = torch.where(marks[rows][:, None] & ~crossed.view(-1, 1, 1, 1), new, at[rows])
        if step + 1 in drops:
            rows = rows[~crossed]
            if not len(rows):
                return reached
    last = margin.logits(at)
    label = last.argmax(1).where(torch.isfinite(last).all(1), -1)
    return torch.where(reached == source, label, reached)
