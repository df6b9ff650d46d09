"""Claims with the evidence for and against them, and their printed form."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

_SEED = re.compile(r"-\d+$")
_WIDTH = 100
_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One number about one model, with its control.

    Attributes:
        model: its name, such as photos/standard-1.
        quantity: what was measured, with its unit.
        value: the number; NaN where it could not be measured.
        interval: its 95 % interval, where there is one.
        control: the number of the control.
        control_name: name of the control, such as "equal-size random supports".
        holds: whether this number supports the claim; None where it gives context only.
    """

    model: str
    quantity: str
    value: float
    interval: tuple[float, float] | None = None
    control: float | None = None
    control_name: str = ""
    holds: bool | None = None

    @property
    def family(self) -> str:
        """The model without its seed: photos/standard-1 is one of photos/standard."""
        return _SEED.sub("", self.model)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement that numbers can support or contradict.

    Attributes:
        statement: in one sentence.
        reference: the publication that makes it.
        evidence: the numbers; a claim without any was not tested.
        note: limits of the answer, in one sentence; "" where there are none.
    """

    statement: str
    reference: str
    evidence: tuple[Evidence, ...]
    note: str = ""

    @property
    def verdict(self) -> str:
        """For how many models of each family the claim holds."""
        families: dict[str, dict[str, bool]] = {}
        for entry in self.evidence:
            if entry.holds is not None:
                models = families.setdefault(entry.family, {})
                models[entry.model] = models.get(entry.model, True) and entry.holds
        if not families:
            return "no verdict: the numbers stand for themselves"
        words = []
        for family, models in families.items():
            good, total = sum(models.values()), len(models)
            if total == 1:
                words.append(f"{'holds' if good else 'does not hold'} for {family} (one model)")
            else:
                words.append(f"holds for {good} of {total} seeds of {family}")
        return "; ".join(words)

    def text(self) -> str:
        """The claim as lines of a terminal."""
        lines = textwrap.wrap(f"Claim: {self.statement} [{self.reference}]", _WIDTH, subsequent_indent="  ")
        widths = [max(len(cell) for cell in column) for column in zip(*map(_cells, self.evidence), strict=True)]
        for entry in self.evidence:
            cells = [cell.ljust(width) for cell, width in zip(_cells(entry), widths, strict=True)]
            lines.append(f"  {'  '.join(cells)}".rstrip())
        lines += textwrap.wrap(f"Verdict: {self.verdict}.", _WIDTH, initial_indent="  ", subsequent_indent="    ")
        if self.note:
            lines += textwrap.wrap(f"Note: {self.note}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)


def _cells(entry: Evidence) -> tuple[str, ...]:
    value = number(entry.value)
    if entry.interval is not None:
        value += f" [{number(entry.interval[0])}, {number(entry.interval[1])}]"
    control = "" if entry.control is None else f"control {number(entry.control)}: {entry.control_name}"
    holds = "" if entry.holds is None else "+" if entry.holds else "-"
    return entry.model, entry.quantity, value, control, holds


def claim(
    statement: str, reference: str, note: str = ""
) -> Callable[[Callable[[_Item], Iterable[Evidence]]], Callable[[Iterable[_Item]], Claim]]:
    """Decorate a function that yields the evidence of one item (a model, a pair of models, a setting) into a claim.

    Args:
        statement: the claim, in one sentence.
        reference: the publication that makes it.
        note: limits of the answer.

    Returns:
        A decorator. The decorated function takes all items and returns the claim with their evidence, in their order.
    """

    def decorate(evidence_of: Callable[[_Item], Iterable[Evidence]]) -> Callable[[Iterable[_Item]], Claim]:
        def stated(items: Iterable[_Item]) -> Claim:
            evidence = tuple(entry for item in items for entry in evidence_of(item))
            return Claim(statement=statement, reference=reference, evidence=evidence, note=note)

        return stated

    return decorate


def number(value: float) -> str:
    """A number with three digits, or "not measured" for NaN.

    >>> number(0.12345), number(1234.5), number(float("nan"))
    ('0.123', '1234', 'not measured')
    """
    if math.isnan(value):
        return "not measured"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def plain(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """Claims as plain values for JSON, NaN as None."""
    found = []
    for claim in claims:
        entries = [
            {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in entry.items()}
            for entry in map(asdict, claim.evidence)
        ]
        found.append({**asdict(claim), "evidence": entries, "verdict": claim.verdict})
    return found
