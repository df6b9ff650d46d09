"""Walks on level sets under way: one row each, and what was seen at their points.

The steps are taken in `core.geometry.level_sets.step`; many walks at once are led by `core.geometry.level_sets.batch`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

RECORDED = ("log_odds", "target_confidence", "distance", "cosine", "moved")  # after each step, where it ended


@dataclass
class Walkers:
    """What is known about walks under way; one row each."""

    pair: Tensor
    target: Tensor  # image
    source_class: Tensor
    target_class: Tensor
    at_source: Tensor  # log-odds
    level: Tensor  # log-odds
    delta: Tensor
    age: Tensor  # steps done
    status: Tensor
    point: Tensor  # image to look at next
    aim: Tensor  # its log-odds to first order, or what they were to be if that is more
    kept: Tensor  # image accepted last, and what was seen there
    value: Tensor  # log-odds
    gradient: Tensor  # image
    scale: Tensor  # length of the gradient times the distance: what log-odds could rise on the way, at most
    scalars: Tensor  # RECORDED, without the last
    top: Tensor  # class
    eta: Tensor
    failures: Tensor
    back_offs: Tensor
    mark: Tensor  # distance some steps ago
    push: Tensor  # image; a of the published walk, else empty
    left: Tensor  # share of its climb that a superlevel walk has left
    stride: Tensor  # from the image accepted last to the point
    history: Tensor  # (walkers, RECORDED, steps + 2), NaN where not there yet; the last is for those that are over
    calm: int = 0  # so many steps nobody is due for anything, if all are accepted; 0 on a GPU, which nobody asks

    def rows(self, which: Tensor) -> Walkers:
        """Some of them."""
        return Walkers(**{name: getattr(self, name)[which] for name in self._tensors()})

    def replace(self, which: Tensor, others: Walkers) -> None:
        """Let others take these rows."""
        for name in self._tensors():  # out of place: `point` and `kept` may be one tensor
            setattr(self, name, getattr(self, name).index_copy(0, which, getattr(others, name)))
        self.calm = 0

    def _tensors(self) -> list[str]:
        return [entry.name for entry in fields(self) if entry.name != "calm"]

    def record(self, column: Tensor, moved: Tensor) -> None:
        """Note the scalars of every walk, and how far it moved, in a column of its history."""
        now = torch.cat([self.scalars, moved[:, None]], 1)[..., None]
        self.history.scatter_(2, column.view(-1, 1, 1).expand_as(now), now)
