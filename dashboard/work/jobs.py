"""Background jobs: one at a time on each device, with a fair queue, progress and cancellation.

A page asks for work and goes on drawing; a worker thread does it and never calls Streamlit. Six rules:

* users take turns, and within a user the oldest request goes first;
* urgent work (the picture someone looks at) passes lesser work, and lesser work under way pauses for it before its next
  batch; but nobody passes the same lesser work of somebody else twice: after that, turns decide;
* urgent work that takes long becomes lesser work, so that the quick pictures of others pass it;
* in one slot (a page's picture, say) a user wants one thing at a time: the newest request replaces the older one,
  waiting or running, and keeps its turn in the queue;
* equal requests, by key and device, are computed once for everyone who asked;
* work stops when the last one who wanted it has gone.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

from core.result import Result
from core.runtime.progress import Cancelled, OnProgress, before_each_batch
from dashboard.work.unforeseen import user_message

T = TypeVar("T")

QUICK_SECONDS = 5.0  # urgent work is urgent for so long


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
        urgent: whether it passes lesser work.
        state: queued, running, done, failed or cancelled.
        fraction: how much is done, from 0 to 1.
        partial: the latest coarser result to show meanwhile; None before the first and after the end.
        result: what the work returned; None until done.
        error: what the work raised, when it failed.
    """

    def __init__(self, jobs: Jobs, key: str, device: str, urgent: bool, work: Callable[[OnProgress], T]) -> None:
        self.key = key
        self.device = device
        self.urgent = urgent
        self.state = State.QUEUED
        self.fraction = 0.0
        self.partial: Result | None = None
        self.result: T | None = None
        self.error: BaseException | None = None
        self._jobs = jobs
        self._work: Callable[[OnProgress], T] | None = work
        self._wanted_by: set[tuple[str, str]] = set()  # (user, slot)
        self._passed_by: set[str] = set()  # users whose urgent work went before it
        self._stopping = False
        self._paused = False
        self._began = 0.0
        self._reported = 0.0  # when `fraction` was last written
        self._ended = threading.Event()

    @property
    def position(self) -> int:
        """Its place in the queue: 1 is next, 0 no longer waiting."""
        with self._jobs._changed:
            order = [waiting for _, waiting in self._jobs._order(self.device)]
            return order.index(self) + 1 if self in order else 0

    @property
    def remaining(self) -> float | None:
        """Seconds left if it goes on at the pace so far; None before the first progress, 0 after the end."""
        with self._jobs._changed:
            if self.state.ended:
                return 0.0
            if not self.fraction:
                return None
            whole = (self._reported - self._began) / self.fraction
            return max(0.0, self._began + whole - self._jobs._clock())

    def cancel(self, user: str) -> None:
        """`user` no longer wants this; the work stops before its next batch once nobody does."""
        with self._jobs._changed:
            for claim in [claim for claim in self._wanted_by if claim[0] == user]:
                self._jobs._release(self, claim)

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
        self._running: dict[str, list[Job[Any]]] = {}  # by device; at most one of them is not paused
        self._wanted: dict[tuple[str, str], Job[Any]] = {}  # what each user wants in each slot
        self._ended: deque[Job[Any]] = deque()
        self._workers: dict[tuple[str, bool], threading.Thread] = {}  # one for urgent work, one for the rest

    def submit(
        self,
        user: str,
        key: str,
        work: Callable[[OnProgress], T],
        *,
        device: str = "cpu",
        slot: str = "",
        urgent: bool = False,
    ) -> Job[T]:
        """Ask for `work`, in place of whatever this user wanted in this slot before.

        Args:
            user: who asks; users take turns.
            key: names the work with all its inputs: the same key must mean the same result.
            work: called once on a worker of the device; reports progress through its argument.
            device: whose worker runs it.
            slot: a user wants one thing at a time in each slot.
            urgent: whether it overtakes lesser work; an urgent request makes waiting work urgent.

        Returns:
            The job: a new one, or the one that already computes, or has computed, the same. A failed or cancelled one
            is tried again.
        """
        with self._changed:
            job = self._find(key, device)
            if job is None:
                job = Job(self, key, device, urgent, work)
                self._waiting.setdefault(device, []).append(job)
            claim = (user, slot)
            older = self._wanted.get(claim)
            if older is job and (job.urgent or not urgent):
                return job  # a page that polls: nothing has changed
            if not job.state.ended:
                self._wanted[claim] = job
                job._wanted_by.add(claim)
            if job.state is State.QUEUED:
                job.urgent = job.urgent or urgent
                if user not in self._turns.setdefault(device, []):
                    self._turns[device].append(user)
            if older is not None and older is not job:
                self._release(older, claim)
            if (device, job.urgent) not in self._workers:
                self._start_worker(device, job.urgent)
            self._changed.notify_all()
            return job

    def pending(self, user: str | None = None) -> list[Job[Any]]:
        """The jobs that `user`, or anybody, still waits for."""
        with self._changed:
            return list(dict.fromkeys(job for claim, job in self._wanted.items() if user in (None, claim[0])))

    def waiting_users(self) -> int:
        """How many still wait for something."""
        with self._changed:
            return len({user for user, _ in self._wanted})

    def leave(self, user: str, keep: Sequence[str] = ()) -> None:
        """`user` has gone, or has gone elsewhere, and wants nothing more but what is in the slots to keep."""
        with self._changed:
            for claim, job in list(self._wanted.items()):
                if claim[0] == user and claim[1] not in keep:
                    self._release(job, claim)

    # -- with the lock held -------------------------------------------------------------------------------------------

    def _find(self, key: str, device: str) -> Job[Any] | None:
        """The job that computes or has computed this, unless it failed, was cancelled or is just stopping."""
        candidates = [*self._waiting.get(device, []), *self._running.get(device, []), *self._ended]
        for job in candidates:
            alive = job.state in (State.QUEUED, State.RUNNING, State.DONE) and not job._stopping
            if alive and (job.key, job.device) == (key, device):
                return job
        return None

    def _order(self, device: str) -> list[tuple[str, Job[Any]]]:
        """Whose turn it will be and what will run then, from the next on, if nothing changes."""
        waiting = list(self._waiting.get(device, []))
        passed = self._passed(device)
        turns = list(self._turns.get(device, []))
        order = []
        while waiting:
            turn = _urgent_turn(turns, waiting, passed)
            if turn is None:  # then what runs comes to its end, and the first user's first work is next
                passed = {job: by for job, by in passed.items() if job in waiting}
                turn = _urgent_turn(turns, waiting, passed) or _plain_turn(turns, waiting)
            user, job = turn
            waiting.remove(job)
            passed.pop(job, None)
            if job.urgent:
                passed = {lesser: by | {user} for lesser, by in passed.items()}
            turns.remove(user)
            turns.append(user)
            order.append(turn)
        return order

    def _passed(self, device: str) -> dict[Job[Any], set[str]]:
        """The lesser work that waits or is under way, and whose urgent work has gone before it."""
        jobs = (*self._waiting.get(device, []), *self._running.get(device, []))
        return {job: job._passed_by for job in jobs if not job.urgent}

    def _passing(self, device: str) -> tuple[str, Job[Any]] | None:
        """The turn of urgent work that may pass all lesser work, also that under way."""
        return _urgent_turn(self._turns.get(device, []), self._waiting.get(device, []), self._passed(device))

    def _next(self, device: str, urgent: bool) -> tuple[str, Job[Any]] | None:
        """The turn that a worker of the device may take now, if there is one."""
        running = self._running.get(device, [])
        if running:
            return self._passing(device) if urgent and all(job._paused for job in running) else None
        order = self._order(device)
        return order[0] if order and order[0][1].urgent == urgent else None

    def _gives_way(self, job: Job[Any]) -> bool:
        """Whether lesser work under way waits: other work runs in its pause, or is the next to."""
        running = self._running[job.device]
        first = next((one for one in running if one.urgent), running[0])  # of what has paused, what began first
        return first is not job or self._passing(job.device) is not None

    def _start_worker(self, device: str, urgent: bool) -> None:
        name = f"worker {device}{', urgent' if urgent else ''}"
        self._workers[device, urgent] = threading.Thread(
            target=self._work, args=(device, urgent), name=name, daemon=True
        )
        self._workers[device, urgent].start()

    def _release(self, job: Job[Any], claim: tuple[str, str]) -> None:
        job._wanted_by.discard(claim)
        if self._wanted.get(claim) is job:
            del self._wanted[claim]
        if job.state is State.QUEUED:
            if not job._wanted_by:
                self._waiting[job.device].remove(job)
                self._end(job, State.CANCELLED)
            self._drop_idle(job.device)
        self._changed.notify_all()  # a paused job hears of it, and what it was paused for may be gone

    def _drop_idle(self, device: str) -> None:
        """Users who wait for nothing on this device have no turn; they join at the back when they ask again."""
        waiting = set().union(*map(_users, self._waiting.get(device, [])))
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

    def _work(self, device: str, urgent: bool) -> None:
        while self._workers[device, urgent] is threading.current_thread():  # else another has taken its place
            job = self._take(device, urgent)
            self._run(job)
            del job  # an idle worker keeps no result alive

    def _take(self, device: str, urgent: bool) -> Job[Any]:
        """Wait for a turn, and give the user's next one away."""
        with self._changed:
            turn = self._changed.wait_for(lambda: self._next(device, urgent))
            assert turn is not None
            user, job = turn
            self._waiting[device].remove(job)
            running = self._running.setdefault(device, [])
            if urgent:
                for lesser in (*self._waiting[device], *running):
                    lesser._passed_by.add(user)
            self._turns[device].remove(user)
            self._turns[device].append(user)
            self._drop_idle(device)
            running.append(job)
            job.state = State.RUNNING
            job._began = job._reported = self._clock()
            return job

    def _pause(self, job: Job[Any]) -> None:
        """Wait, with the lock given away, until no urgent work runs or may run before the rest of this job."""
        paused = self._clock()
        job._paused = True
        self._changed.notify_all()
        self._changed.wait_for(lambda: not job._wanted_by or not self._gives_way(job))
        job._paused = False
        away = self._clock() - paused
        job._began, job._reported = job._began + away, job._reported + away

    def _go_on(self, job: Job[Any]) -> None:
        """Where work may rest or end: at each of its reports, and before each of its batches."""
        with self._changed:
            if job.urgent and self._clock() - job._began > QUICK_SECONDS:
                job.urgent = False
                self._start_worker(job.device, urgent=True)  # for what is urgent while this one rests
            if job._wanted_by and not job.urgent and self._gives_way(job):
                self._pause(job)
            if not job._wanted_by:
                job._stopping = True  # from here on an equal request starts afresh
                raise Cancelled

    def _run(self, job: Job[T]) -> None:
        def on_progress(fraction: float, partial: Result | None = None) -> None:
            with self._changed:
                job.fraction = min(1.0, max(job.fraction, fraction))
                job._reported = self._clock()
                if partial is not None:
                    job.partial = partial
            self._go_on(job)

        work, state = job._work, State.FAILED
        assert work is not None
        try:
            with before_each_batch(lambda: self._go_on(job)):
                job.result = work(on_progress)
            state = State.DONE
        except Cancelled:
            state = State.CANCELLED
        except BaseException as error:  # noqa: BLE001 - those who wait must hear of it, and the queue must go on
            job.error = error
        if job.error is not None:
            user_message(job.error)  # logs it, unless the request was at fault and not the program
            traceback.clear_frames(job.error.__traceback__)  # else it keeps every tensor of the failed work alive
        with self._changed:
            self._running[job.device].remove(job)
            if state is State.DONE:
                job.fraction = 1.0
            self._end(job, state)
            self._changed.notify_all()


def _users(job: Job[Any]) -> set[str]:
    """Who wants a job."""
    return {user for user, _ in job._wanted_by}


def _urgent_turn(
    turns: Sequence[str], waiting: Sequence[Job[Any]], passed: Mapping[Job[Any], set[str]]
) -> tuple[str, Job[Any]] | None:
    """The first user whose urgent work may pass all this lesser work, and the oldest of it."""
    for user in turns:
        may = all(user not in by or user in _users(lesser) for lesser, by in passed.items())
        job = next((job for job in waiting if may and job.urgent and user in _users(job)), None)
        if job is not None:
            return user, job
    return None


def _plain_turn(turns: Sequence[str], waiting: Sequence[Job[Any]]) -> tuple[str, Job[Any]]:
    """The first user with work, and that work: the oldest, urgent before lesser."""
    user = next(user for user in turns if any(user in _users(job) for job in waiting))
    return user, min((job for job in waiting if user in _users(job)), key=lambda job: not job.urgent)


@cache
def shared() -> Jobs:
    """The queues and workers of this process, the same for every page and every user."""
    return Jobs(keep=4)  # results of 100 MB each at the largest resolution; older ones lie in the store
