"""Settings of analyses and figures: their values, units and one line of help, and how they are read from outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import RecipeError
from core.wording import abbreviated

DIRECTIONS = (  # texts that settings of directions take, see `core.analyses.prepare.directions`
    "gradient, gradient:CLASS, adversarial, sparse, random:SEED, image:ROW, pair, walk:ROW,"
    " walk:ROW,MODE,PERCENT,STEPS, mean:CLASS, pca:NUMBER, dct:ROW,COLUMN, band:ROW,COLUMN, band:ROW,COLUMN,SEED"
)
CORRUPTED = "corruption:NAME"  # the last of them


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting, as the command line, the link and the controls know it.

    Attributes:
        name: in recipes, links and, with dashes, on the command line.
        kind: what its values are; "numbers" are a tuple of floats, or None for the analysis's own choice.
        default: the value when none is given.
        help: one line that explains it.
        unit: of its values.
        choices: all values of a "choice".
        limits: smallest and largest value of an "integer", "number" or each of the "numbers".
        count: how many "numbers" there must be; None for any.
        aliases: former names, which recipes, links and the command line may still use.
        only_if: another setting and the value of it at which this one enters; empty where it always does.
    """

    name: str
    kind: Literal["choice", "integer", "number", "numbers", "text"]
    default: Any
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    count: int | None = None
    only_if: tuple[str, str] | tuple[()] = ()
    aliases: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = field(default=None, compare=False)  # of a "text" or "numbers": may raise

    def parse(self, value: Any) -> Any:
        """The value that JSON, a link or the command line stands for.

        Raises:
            RecipeError: if it is none of this parameter's values.
        """
        match self.kind:
            case "choice":
                if value not in self.choices:
                    raise self._error(f"one of {', '.join(self.choices)}", value)
                return value
            case "integer":
                number = self._number(value)
                if number != int(number):
                    raise self._error("a whole number", value)
                return int(number)
            case "number":
                return self._number(value)
            case "numbers":
                return self._numbers(value)
            case "text":
                return self._text(value)

    def _numbers(self, value: Any) -> tuple[float, ...] | None:
        if value is None or value == "":
            return None if self.default is None else ()
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list | tuple) or (self.count is not None and len(entries) != self.count):
            raise self._error(f"{self.count or 'some'} numbers", value)
        numbers = tuple(self._number(entry) for entry in entries)
        self._check(numbers)
        return numbers

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > 200:
            raise self._error("a short text", value)
        self._check(value)
        return value

    def _check(self, value: Any) -> None:
        try:
            if self.check is not None and value != self.default:  # checks may load what computes
                self.check(value)
        except ValueError as error:
            raise RecipeError(f"{self.name}: {error}") from error

    def _number(self, value: Any) -> float:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        low, high = self.limits or (-math.inf, math.inf)
        if not math.isfinite(number) or not low <= number <= high:
            where = f" from {low:g} to {high:g}" if self.limits else ""
            raise self._error(f"a number{where}", value)
        return number

    def _error(self, expected: str, value: Any) -> RecipeError:
        return RecipeError(f"{self.name}: expected {expected}, got {abbreviated(value)}")

    @staticmethod
    def text(value: Any) -> str:
        """The value as it stands in a link or on the command line; `parse` reads it back exactly."""
        if value is None:
            return ""
        if isinstance(value, tuple):
            return ",".join(Parameter.text(entry) for entry in value)
        return repr(value) if isinstance(value, float) else str(value)
