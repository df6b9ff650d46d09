"""Names of classes and models in charts: checked where a chart begins, and with their colours in legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized

from core.figures.drawing import style
from core.figures.drawing.chart import MORE, LegendEntry

LISTED = 12  # classes named one by one; the others are summed up
_MODELS = tuple(style.class_colour(k) for k in (0, 1, 5, 7, 3, 2))


def check_class_names(num_classes: int, class_names: Sequence[str]) -> None:
    """Refuse names that are not one for each class.

    Args:
        num_classes: of the classifier.
        class_names: what the caller gave.

    Raises:
        ValueError: if there are fewer or more.
    """
    if len(class_names) != num_classes:
        raise ValueError(f"expected one name for each of {num_classes} classes, got {len(class_names)} names")


def check_model_names(models: Sequence[str], results: Sized, what: str = "result") -> None:
    """Refuse names that are not one for each result, and a chart of no result.

    Args:
        models: what the caller gave.
        results: one per model.
        what: what one of them is called.

    Raises:
        ValueError: if there are fewer or more, or no result.
    """
    if not results or len(models) != len(results):
        raise ValueError(f"expected a name for each of at least one {what}, got {len(models)} for {len(results)}")


def model_colour(number: int) -> str:
    """The colour of a model, or of another series without a colour of its own, by its number from 0."""
    return _MODELS[number % len(_MODELS)]


def share_legend(class_names: Sequence[str], shares: Mapping[int, float], palette: str | None) -> list[LegendEntry]:
    """Classes with their shares of a picture: the first ones by name, the others summed up.

    Args:
        class_names: one name per class.
        shares: by class, largest first.
        palette: class palette of `style.PALETTES`; None where colours mean something else, for entries without.

    Returns:
        The entries of a legend.
    """
    entries = [
        LegendEntry(colour=style.class_colour(k, palette) if palette else "", label=class_names[k], share=share)
        for k, share in list(shares.items())[:LISTED]
    ]
    rest = list(shares.values())[LISTED:]
    return [*entries, LegendEntry(colour="", label=f"{len(rest)} {MORE}", share=sum(rest))] if rest else entries


def model_legend(models: Sequence[str]) -> list[LegendEntry]:
    """The names of models with their colours."""
    return [LegendEntry(colour=model_colour(number), label=name) for number, name in enumerate(models)]
