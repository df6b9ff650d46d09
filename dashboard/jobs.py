"""Long work beside the pages: one worker per device, a fair queue, progress, cancel.

A page asks for work and goes on drawing; a worker thread does it and never calls Streamlit. Four rules:

* users take turns, and within a user the oldest request goes first;
* in one slot (a page's picture, say) a user wants one thing at a time: the newest request replaces the older one,
  waiting or running, and keeps its turn in the queue;
* equal requests, by key and device, are computed once for everyone who asked;
* work stops when the last one who wanted it has gone.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

from core.compute import Cancelled, OnProgress
from core.result import Result

T = TypeVar("T")

logger = logging.getLogger(__name__)


class State(StrEnum):
    """Where a job stands; it only ever moves down this list."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (State.QUEUED, State.RUNNING)


class Job(Generic[T]):
    """One piece of work and all that is known of it; made by `Jobs.submit`, read by pages, written by a worker.

    Attributes:
        key: what is computed; equal keys are the same work.
        device: where it runs.
        state: queued, running, done, failed or cancelled.
        fraction: how much is done, from 0 to 1.
        partial: the latest coarser result to show meanwhile; None before the first and after the end.
        result: what the work returned; None until done.
        error: what the work raised, when it failed.
    """

    def __init__(self, jobs: Jobs, key: str, device: str, work: Callable[[OnProgress], T]) -> None:
        self.key = key
        self.device = device
        self.state = State.QUEUED
        self.fraction = 0.0
        self.partial: Result | None = None
        self.result: T | None = None
        self.error: BaseException | None = None
        self._jobs = jobs
        self._work: Callable[[OnProgress], T] | None = work
        self._wanted_by: set[tuple[str, str]] = set()  # (user, slot)
        self._stopping = False
        self._began = 0.0
        self._reported = 0.0  # when `fraction` was last written
        self._ended = threading.Event()

    @property
    def position(self) -> int:
        """Its place in the queue: 1 is next, 0 no longer waiting."""
        return self._jobs.position(self)

    @property
    def remaining(self) -> float | None:
        """Seconds left if it goes on at the pace so far; None before the first progress, 0 after the end."""
        return self._jobs.remaining(self)

    def cancel(self, user: str) -> None:
        """`user` wants this no more; the work stops, at its next progress report, when nobody does."""
        self._jobs.cancel(self, user)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it has ended, at most `timeout` seconds; returns whether it has."""
        return self._ended.wait(timeout)


class Jobs:
    """Every device's queue and worker.

    Args:
        keep: how many ended jobs are remembered, so that an equal request gets the result at once.
        clock: seconds, for the time that remains.
    """

    def __init__(self, *, keep: int = 16, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep = keep
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below and every field of every job
        self._waiting: dict[str, list[Job[Any]]] = {}  # by device, in the order of asking
        self._turns: dict[str, list[str]] = {}  # by device, the users with waiting jobs; the first is served next
        self._running: dict[str, Job[Any]] = {}  # by device
        self._wanted: dict[tuple[str, str], Job[Any]] = {}  # what each user wants in each slot
        self._ended: deque[Job[Any]] = deque()
        self._workers: dict[str, threading.Thread] = {}

    def submit(
        self, user: str, key: str, work: Callable[[OnProgress], T], *, device: str = "cpu", slot: str = ""
    ) -> Job[T]:
        """Ask for `work`, in place of whatever this user wanted in this slot before.

        Args:
            user: who asks; users take turns.
            key: names the work with all its inputs: the same key must mean the same result.
            work: called once on the device's worker; reports progress through its argument.
            device: whose worker runs it.
            slot: a user wants one thing at a time in each slot.

        Returns:
            The job: a new one, or the one that already computes, or has computed, the same. A failed or cancelled one
            is tried again.
        """
        with self._changed:
            job = self._find(key, device)
            if job is None:
                job = Job(self, key, device, work)
                self._waiting.setdefault(device, []).append(job)
            claim = (user, slot)
            older = self._wanted.get(claim)
            if not job.state.ended:
                self._wanted[claim] = job
                job._wanted_by.add(claim)
            if job.state is State.QUEUED and user not in self._turns.setdefault(device, []):
                self._turns[device].append(user)
            if older is not None and older is not job:
                self._release(older, claim)
            if device not in self._workers:
                self._workers[device] = threading.Thread(
                    target=self._work, args=(device,), name=f"worker {device}", daemon=True
                )
                self._workers[device].start()
            self._changed.notify_all()
            return job

    def pending(self, user: str | None = None) -> list[Job[Any]]:
        """The jobs that `user`, or anybody, still waits for."""
        with self._changed:
            return list(dict.fromkeys(job for claim, job in self._wanted.items() if user in (None, claim[0])))

    def cancel(self, job: Job[Any], user: str) -> None:
        """`user` wants `job` no more, in any slot."""
        with self._changed:
            for claim in [claim for claim in job._wanted_by if claim[0] == user]:
                self._release(job, claim)

    def leave(self, user: str) -> None:
        """`user` has gone and wants nothing more."""
        for job in self.pending(user):
            self.cancel(job, user)

    def position(self, job: Job[Any]) -> int:
        """The place of `job` in its queue: 1 is next, 0 no longer waiting."""
        with self._changed:
            order = [waiting for _, waiting in self._order(job.device)]
            return order.index(job) + 1 if job in order else 0

    def remaining(self, job: Job[Any]) -> float | None:
        """Seconds left for `job` if it goes on at the pace so far; None before the first progress, 0 after the end."""
        with self._changed:
            if job.state.ended:
                return 0.0
            if not job.fraction:
                return None
            whole = (job._reported - job._began) / job.fraction
            return max(0.0, job._began + whole - self._clock())

    # -- with the lock held -------------------------------------------------------------------------------------------

    def _find(self, key: str, device: str) -> Job[Any] | None:
        """The job that computes or has computed this, unless it failed, was cancelled or is just stopping."""
        running = self._running.get(device)
        candidates = [*self._waiting.get(device, []), *([running] if running else []), *self._ended]
        for job in candidates:
            alive = job.state in (State.QUEUED, State.RUNNING, State.DONE) and not job._stopping
            if alive and (job.key, job.device) == (key, device):
                return job
        return None

    def _order(self, device: str) -> list[tuple[str, Job[Any]]]:
        """Whose turn it will be and what will run then, from the next on, if nothing changes."""
        waiting = list(self._waiting.get(device, []))
        turns = deque(self._turns.get(device, []))
        order = []
        while waiting:
            user = turns.popleft()
            job = next((job for job in waiting if any(user == who for who, _ in job._wanted_by)), None)
            if job is not None:
                waiting.remove(job)
                order.append((user, job))
                turns.append(user)
        return order

    def _release(self, job: Job[Any], claim: tuple[str, str]) -> None:
        job._wanted_by.discard(claim)
        if self._wanted.get(claim) is job:
            del self._wanted[claim]
        if job.state is State.QUEUED:
            if not job._wanted_by:
                self._waiting[job.device].remove(job)
                self._end(job, State.CANCELLED)
            self._drop_idle(job.device)

    def _drop_idle(self, device: str) -> None:
        """Users who wait for nothing on this device have no turn; they join at the back when they ask again."""
        waiting = {user for job in self._waiting.get(device, []) for user, _ in job._wanted_by}
        self._turns[device] = [user for user in self._turns.get(device, []) if user in waiting]

    def _end(self, job: Job[Any], state: State) -> None:
        job.state = state
        job.partial = job._work = None
        for claim in job._wanted_by:
            if self._wanted.get(claim) is job:
                del self._wanted[claim]
        job._wanted_by.clear()
        self._ended.append(job)
        while len(self._ended) > self._keep:
            self._ended.popleft()
        job._ended.set()

    # -- on the worker ------------------------------------------------------------------------------------------------

    def _work(self, device: str) -> None:
        while True:
            job = self._take(device)
            self._run(job)
            del job  # an idle worker keeps no result alive

    def _take(self, device: str) -> Job[Any]:
        """Wait for a job, and give its user's turn away."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting.get(device))
            user, job = self._order(device)[0]
            self._waiting[device].remove(job)
            self._turns[device].remove(user)
            self._turns[device].append(user)
            self._drop_idle(device)
            self._running[device] = job
            job.state = State.RUNNING
            job._began = job._reported = self._clock()
            return job

    def _run(self, job: Job[T]) -> None:
        def on_progress(fraction: float, partial: Result | None = None) -> None:
            with self._changed:
                if not job._wanted_by:
                    job._stopping = True  # from here on an equal request starts afresh
                    raise Cancelled
                job.fraction = min(1.0, max(job.fraction, fraction))
                job._reported = self._clock()
                if partial is not None:
                    job.partial = partial

        work, state = job._work, State.FAILED
        assert work is not None
        try:
            job.result = work(on_progress)
            state = State.DONE
        except Cancelled:
            state = State.CANCELLED
        except ValueError as error:  # an answer to whoever asked, not a fault of the program
            job.error = error
        except BaseException as error:  # whatever it was: those who wait must hear of it, and the queue must go on
            job.error = error
            logger.exception("job failed")
        if job.error is not None:
            traceback.clear_frames(job.error.__traceback__)  # else it keeps every tensor of the failed work alive
        with self._changed:
            del self._running[job.device]
            if state is State.DONE:
                job.fraction = 1.0
            self._end(job, state)


@cache
def shared() -> Jobs:
    """The queues and workers of this process, the same for every page and every user."""
    return Jobs(keep=4)  # results of 100 MB each at the largest resolution; older ones lie in the store
