"""Query budget curves: how few pixels each method needs for the gradients it has spent.

Every method runs on the same images; after each step the fewest pixels found so far are recorded with the gradients
that the image has cost. At a budget of g gradients an image counts with the best result for at most g; an image without
one counts as infinitely many pixels. So the median and the quartiles are over all images, and a curve begins where half
of them (a quarter, three quarters) are flipped.

References: see `core.geometry.sparse.sparse_perturbation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor

from core.geometry.sparse.sparse_perturbation import SparsePerturbation, sparse_perturbation
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, per_sample, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

Comparison = Literal["methods", "multipliers"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)

_BUDGETS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryBudgetCurve(ClassifierResult):
    """The fewest pixels found for each budget of gradients; NaN where too few images are flipped."""

    methods: np.ndarray = quantity("", "method", formerly="contestants")  # words
    budget: np.ndarray = quantity("gradients per image", "budget")
    median: np.ndarray = quantity("pixel", "method budget")
    lower: np.ndarray = quantity("pixel", "method budget")  # quartile
    upper: np.ndarray = quantity("pixel", "method budget")
    flipped: np.ndarray = quantity("", "method budget")  # share of images with any
    pixels: np.ndarray = quantity("pixel", "method n")  # in the end; NaN where not found
    spent: np.ndarray = quantity("gradients", "method n")
    asked: np.ndarray = quantity("forwards", "method n")
    compare: str = quantity("", formerly="contest")
    prune: bool = quantity("", formerly="reverse")
    bound: float = quantity("pixel")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Pixels and cost of each method."""
        for index, label in enumerate(self.methods):
            yield Number(name=f"images flipped, {label}", value=np.isfinite(self.pixels[index]))
            yield Number(name=f"pixels, {label}", value=per_sample(self.pixels[index]), unit="pixels")
            yield Number(name=f"gradients, {label}", value=per_sample(self.spent[index]), unit="gradients per image")


@counted
def query_budget_curve(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    *,
    compare: Comparison = "methods",
    prune: bool = True,
    bound: float = 1.0,
    on_progress: OnProgress = silent,
) -> QueryBudgetCurve:
    """Run several methods on the same images.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: values in [0, 1].
        compare: "methods" for SparseFool in its three orders and sigma-zero, "multipliers" for SparseFool in pixel
            order with one lambda at a time.
        prune: whether each method ends by pruning the support, which costs forwards and no gradients.
        bound: largest change of each value.
        on_progress: called with the fraction done.

    Returns:
        Median, quartiles and the share flipped for each budget.

    Raises:
        ValueError: if there is no image.
        ImageError: if an image does not fit the classifier or is not in [0, 1].
    """
    plans = _ENTRIES[compare]
    runs: list[SparsePerturbation] = []
    for place, settings in enumerate(plans.values()):
        runs.append(
            sparse_perturbation(
                classifier,
                images,
                **settings,
                prune=prune,
                bound=bound,
                on_progress=part_of(on_progress, place / len(plans), (place + 1) / len(plans)),
            )
        )
    most = max(float(run.image_gradients.max()) for run in runs)
    budget = np.unique(np.rint(np.geomspace(1, max(most, 1), _BUDGETS)))
    best = np.stack([best_within(run, budget) for run in runs])
    quartiles = np.quantile(best, [0.25, 0.5, 0.75], axis=1, method="inverted_cdf")
    lower, median, upper = np.where(np.isfinite(quartiles), quartiles, np.nan)
    return QueryBudgetCurve(
        methods=np.array(list(plans)),
        budget=budget,
        median=median,
        lower=lower,
        upper=upper,
        flipped=np.isfinite(best).mean(1),
        pixels=np.stack([run.pixels for run in runs]),
        spent=np.stack([run.image_gradients for run in runs]),
        asked=np.stack([run.image_forwards for run in runs]),
        compare=compare,
        prune=prune,
        bound=bound,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


_ENTRIES: dict[Comparison, dict[str, dict[str, Any]]] = {
    "methods": {
        "SparseFool, pixel": {"method": "sparsefool", "order": "pixel"},
        "SparseFool, l0": {"method": "sparsefool", "order": "l0"},
        "SparseFool, l1": {"method": "sparsefool", "order": "l1"},
        "sigma-zero, pixel": {"method": "sigma_zero", "unit": "pixel"},
    },
    "multipliers": {
        f"λ = {value:g}": {"method": "sparsefool", "order": "pixel", "lambdas": (value,)}
        for value in (1.0, 1.5, 2.0, 3.0)
    },
}


def best_within(run: SparsePerturbation, budget: np.ndarray) -> np.ndarray:
    """The fewest pixels with which each image was flipped within each budget of gradients.

    Args:
        run: the perturbations with their history.
        budget: (b,) gradients per image.

    Returns:
        (n, b); infinite where it was not flipped by then.
    """
    history = np.nan_to_num(run.history, nan=np.inf)
    within = run.history_gradients[:, :, None] <= budget  # NaN, beyond the last step, is within no budget
    found: np.ndarray = np.where(within, history[:, :, None], np.inf).min(1, initial=np.inf)
    # what is left after the pruning, whose forwards come after the last gradient
    end = np.where(run.found, run.pixels, np.inf)[:, None]
    best: np.ndarray = np.minimum(found, np.where(run.image_gradients[:, None] <= budget, end, np.inf))
    return best
