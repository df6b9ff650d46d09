"""Batched traversal of level sets: finished walks are replaced by queued pairs, so the batch keeps its shape.

When no pair is queued any more, the batch shrinks once three of ten slots are empty. A GPU is not synchronised at each
step, but only every few steps, to find the walks that have finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.level_sets.log_odds import confidence, level_below, log_odds
from core.geometry.level_sets.step import NO_LEVEL, RECORDED, UNDEFINED, WALKING, LevelSetStep, Walkers

FRAMES = (0, 10, 20, 40, 60, 80, 120, 160, 200, 300, 400)  # then each half as much again

_MOST_VALUES = 1 << 22  # pixels of a batch: 27 images of 3 x 224 x 224, for each of which a graph is kept
_UNSEEN = 8  # steps between checks on a GPU: at most this many of some hundred are wasted
_FULL = 0.7  # of the slots: below, the batch shrinks
_SECONDS = 1.0  # between walks shown


@dataclass(frozen=True)
class Pairs:
    """Sources and targets, and which of them go together."""

    sources: Float[Tensor, "s c h w"]
    targets: Float[Tensor, "t c h w"]
    source_row: Tensor  # these and the following have one row per pair
    target_row: Tensor
    source_class: Tensor  # -1 where undefined
    target_class: Tensor
    at_source: Tensor  # log-odds
    delta: Tensor
    status: Tensor

    @classmethod
    def from_logits(
        cls,
        sources: Tensor,
        targets: Tensor,
        rows: Tensor,
        delta: Tensor,
        source_logits: Float[Tensor, "s k"],
        target_logits: Float[Tensor, "t k"],
    ) -> Pairs:
        """Pair sources with targets; their classes and levels follow from their logits.

        Args:
            sources: images.
            targets: images.
            rows: (n, 2) of source and target.
            delta: (n,) largest loss of confidence allowed.
            source_logits: of the sources.
            target_logits: of the targets.

        Returns:
            The pairs.
        """
        source_row, target_row = rows.to(sources.device).unbind(1)
        finite = [torch.isfinite(logits).all(1) for logits in (source_logits, target_logits)]
        classes = [logits.argmax(1) for logits in (source_logits, target_logits)]
        defined = finite[0][source_row] & finite[1][target_row]
        at_source = log_odds(source_logits, classes[0])[source_row]
        below = torch.isnan(level_below(at_source, delta))
        return cls(
            sources=sources,
            targets=targets,
            source_row=source_row,
            target_row=target_row,
            source_class=classes[0].where(finite[0], -1)[source_row],
            target_class=classes[1].where(finite[1], -1)[target_row],
            at_source=at_source,
            delta=delta,
            status=torch.where(defined, torch.where(below, NO_LEVEL, WALKING), UNDEFINED),
        )

    def walkers(self, pairs: Tensor, stepper: LevelSetStep) -> Walkers:
        """These pairs at their sources."""
        return stepper.start(
            pairs,
            self.sources[self.source_row[pairs]],
            self.targets[self.target_row[pairs]],
            self.source_class[pairs],
            self.target_class[pairs],
            self.at_source[pairs],
            self.delta[pairs],
        )


@dataclass
class Table:
    """The results of all pairs so far, on the CPU."""

    endpoints: np.ndarray
    history: np.ndarray  # (n, RECORDED, steps + 1)
    status: np.ndarray
    taken: np.ndarray
    end_class: np.ndarray
    survives: np.ndarray
    snapshots: np.ndarray
    frames: np.ndarray

    @classmethod
    def empty(cls, pairs: Pairs, steps: int, keep: int) -> Table:
        """A table before the first step.

        Args:
            pairs: the pairs.
            steps: most steps of a walk.
            keep: number of pairs whose images on the way are kept.

        Returns:
            Arrays of NaN, and the values known beforehand.
        """
        count, shape = len(pairs.status), tuple(pairs.sources.shape[1:])
        kind = torch.empty(0, dtype=pairs.sources.dtype).numpy().dtype
        frames = np.array(_frames(steps), np.int32)
        return cls(
            endpoints=np.full((count, *shape), np.nan, kind),
            history=np.full((count, len(RECORDED), steps + 1), np.nan, kind),
            status=pairs.status.cpu().numpy(),
            taken=np.zeros(count, np.int32),
            end_class=np.full(count, -1, np.int32),
            survives=np.zeros(count, bool),
            snapshots=np.full((min(keep, count), len(frames), *shape), np.nan, kind),
            frames=frames,
        )

    def store(self, walkers: Walkers) -> None:
        """Store the state of these walks."""
        rows = walkers.pair.cpu().numpy()
        self.endpoints[rows] = walkers.kept.cpu().numpy()
        self.history[rows] = walkers.history[..., :-1].cpu().numpy()
        self.status[rows] = walkers.status.cpu().numpy()
        over = (walkers.status != WALKING).cpu().numpy()
        self.taken[rows] = walkers.age.cpu().numpy() - ~over  # of those under way, the next step is counted already
        self.end_class[rows] = walkers.top.to(torch.int32).cpu().numpy()

    def arrays(self) -> dict[str, Any]:
        """The fields of a result."""
        recorded = {name: self.history[:, place] for place, name in enumerate(RECORDED)}
        return {
            **{name: values.copy() for name, values in recorded.items()},
            "confidence": confidence(recorded["log_odds"]),
            "endpoints": self.endpoints.copy(),
            "taken": self.taken.copy(),
            "end_class": self.end_class.copy(),
            "survives_rounding": self.survives.copy(),
            "snapshots": self.snapshots.copy(),
            "frames": self.frames,
        }


def walk(
    stepper: LevelSetStep,
    pairs: Pairs,
    width: int,
    keep: int,
    report: Callable[[float, Table | None], None],
) -> Table:
    """Walk with all pairs.

    Args:
        stepper: takes the steps.
        pairs: the pairs.
        width: walks at a time.
        keep: number of pairs, the first ones, whose images on the way are kept.
        report: called at each check with the fraction done and, every second, the table so far.

    Returns:
        The table at the end.
    """
    width = max(1, min(width, _MOST_VALUES // pairs.sources[0].numel()))
    table = Table.empty(pairs, stepper.steps, keep)
    queue = (pairs.status == WALKING).nonzero()[:, 0]
    report(0.0, None)
    if not len(queue):
        return table
    batch = _Batch(stepper, pairs, table, queue, width)
    shown = time.monotonic()
    while len(batch.age):
        batch.step()
        if batch.compaction_due():
            batch.retire()
            late = time.monotonic() - shown >= _SECONDS
            report(batch.done(), batch.so_far() if late and len(batch.age) else None)
            shown = time.monotonic() if late else shown
    return table


class _Batch:
    """The slots of a batch, and the queue of pairs."""

    def __init__(self, stepper: LevelSetStep, pairs: Pairs, table: Table, queue: Tensor, width: int) -> None:
        self._stepper, self._pairs, self._table = stepper, pairs, table
        self._queue, self._next = queue, min(width, len(queue))
        self._walkers = pairs.walkers(queue[: self._next], stepper)
        self._every = 1 if queue.device.type == "cpu" else _UNSEEN
        self._count = 0
        self.age = np.zeros(self._next, np.int64)  # steps of each slot; known without asking the device
        self._pair = queue[: self._next].cpu().numpy()
        self._taken = np.ones(self._next, bool)  # slots that hold a walk not stored yet

    def step(self) -> None:
        self._stepper(self._walkers)
        due = np.isin(self.age, self._table.frames) & (self._pair < len(self._table.snapshots)) & self._taken
        if due.any():
            self._snapshot(due.nonzero()[0])
        self.age += 1
        self._count += 1

    def _snapshot(self, slots: np.ndarray) -> None:
        """Keep the images of these walks, except those that ended before."""
        which = torch.from_numpy(slots).to(self._walkers.age.device)
        there = (self._walkers.age[which].cpu().numpy() >= self.age[slots]).nonzero()[0]
        frame = np.searchsorted(self._table.frames, self.age[slots[there]])
        images = self._walkers.kept[which[torch.from_numpy(there).to(which.device)]]
        self._table.snapshots[self._pair[slots[there]], frame] = images.cpu().numpy()

    def compaction_due(self) -> bool:
        """Whether to look for finished walks; walks out of steps are finished."""
        return self._count % self._every == 0 or bool((self.age > self._stepper.steps).any())

    def retire(self) -> None:
        """Store finished walks, refill their slots from the queue, and drop empty slots when there are many."""
        over = (self._walkers.status != WALKING).cpu().numpy() & self._taken
        slots = over.nonzero()[0]
        if not len(slots):
            return
        self._store(torch.from_numpy(slots).to(self._queue.device))
        self._taken[slots] = False
        fresh = self._queue[self._next : self._next + len(slots)]
        self._next += len(fresh)
        if len(fresh):
            filled = slots[: len(fresh)]
            self._walkers.replace(torch.from_numpy(filled).to(fresh.device), self._pairs.walkers(fresh, self._stepper))
            self.age[filled], self._pair[filled], self._taken[filled] = 0, fresh.cpu().numpy(), True
        if self._taken.sum() <= _FULL * len(self._taken):
            stay = self._taken.nonzero()[0]
            self._walkers = self._walkers.rows(torch.from_numpy(stay).to(self._queue.device))
            self.age, self._pair, self._taken = self.age[stay], self._pair[stay], self._taken[stay]

    def _store(self, slots: Tensor) -> None:
        walkers = self._walkers.rows(slots)
        self._table.store(walkers)
        rounded = (walkers.kept * 255).round() / 255
        value = log_odds(self._stepper.odds.logits(rounded), walkers.source_class)
        self._table.survives[walkers.pair.cpu().numpy()] = self._stepper.allows(walkers, value).cpu().numpy()

    def done(self) -> float:
        """The fraction of all steps, those of walks that ended early counted as done."""
        total = len(self._pairs.status) * (self._stepper.steps + 1)
        left = (self._stepper.steps + 1 - self.age[self._taken]).sum() + (len(self._queue) - self._next) * (
            self._stepper.steps + 1
        )
        return float(1 - left / total)

    def so_far(self) -> Table:
        """The table so far, walks under way included."""
        now = Table(**{name: values.copy() for name, values in vars(self._table).items()})
        now.store(self._walkers.rows(torch.from_numpy(self._taken.nonzero()[0]).to(self._queue.device)))
        return now


def _frames(steps: int) -> list[int]:
    """Steps after which images are kept: close at first, then further and further apart, and the last."""
    frames = [frame for frame in FRAMES if frame < steps]
    while frames[-1] * 3 // 2 < steps and frames[-1] >= FRAMES[-1]:
        frames.append(frames[-1] * 3 // 2)
    return [*frames, steps]
