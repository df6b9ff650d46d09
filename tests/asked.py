"""Analyses asked directly, with their defaults and without a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.analyses.table import TABLE
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.runtime.progress import OnProgress, silent


def ask(
    analysis: str,
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    on_progress: OnProgress = silent,
    **settings: Any,
) -> Any:
    """The result of an analysis of one model."""
    return TABLE[analysis].run([reference or classifier, classifier], images, rows, on_progress, **settings)
