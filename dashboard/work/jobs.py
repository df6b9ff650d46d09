"""Background jobs: one at a time on each device, with a fair queue, progress and cancellation.

A page submits work and goes on drawing; a worker thread does it and never calls Streamlit. Six rules:

* users take turns, and among a user's requests the oldest goes first;
* urgent work (a page's main picture) overtakes lesser work, and running lesser work pauses before its next batch;
  but a user overtakes the same lesser work of another user only once: after that, turns decide;
* urgent work that takes long becomes lesser work, so that the quick pictures of others overtake it;
* in one slot (a page's picture, say) a user has one request at a time: the newest replaces the older one, waiting or
  running, and keeps its turn in the queue;
* equal requests, by key and device, are computed once for all users who asked;
* work stops when no user wants it any more.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

from core.result import Result
from core.runtime.progress import Cancelled, OnProgress, before_each_batch
from dashboard.work.unforeseen import user_message

T = TypeVar("T")

QUICK_SECONDS = 5.0  # after this time urgent work becomes lesser work


class State(StrEnum):
    """The state of a job, which only moves down this list."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self not in (State.QUEUED, State.RUNNING)


class Job(Generic[T]):
    """One piece of work and its state; made by `Jobs.submit`, read by pages, written by a worker.

    Attributes:
        key: identifies the work; equal keys are the same work.
        device: where it runs.
        urgent: whether it overtakes lesser work.
        state: queued, running, done, failed or cancelled.
        fraction: how much is done, from 0 to 1.
        partial: the latest coarser result; None before the first and after the end.
        result: the return value of the work; None until done.
        error: the exception of the work, if it failed.
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
        self._passed_by: set[str] = set()  # users whose urgent work overtook it
        self._stopping = False
        self._paused = False
        self._began = 0.0
        self._reported = 0.0  # when `fraction` was last written
        self._ended = threading.Event()

    @property
    def position(self) -> int:
        """Its place in the queue: 1 is next, 0 is no longer waiting."""
        with self._jobs._changed:
            order = [waiting for _, waiting in self._jobs._order(self.device)]
            return order.index(self) + 1 if self in order else 0

    @property
    def remaining(self) -> float | None:
        """Estimated seconds left at the speed so far; None before the first progress, 0 after the end."""
        with self._jobs._changed:
            if self.state.ended:
                return 0.0
            if not self.fraction:
                return None
            whole = (self._reported - self._began) / self.fraction
            return max(0.0, self._began + whole - self._jobs._clock())

    def cancel(self, user: str) -> None:
        """Drop the requests of `user`; the work stops before its next batch if no other user wants it."""
        with self._jobs._changed:
            for claim in [claim for claim in self._wanted_by if claim[0] == user]:
                self._jobs._release(self, claim)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it has ended, for at most `timeout` seconds; returns whether it has."""
        return self._ended.wait(timeout)


class Jobs:
    """The queues and workers of all devices.

    Args:
        keep: how many ended jobs are kept, so that equal requests get their results at once.
        clock: the time in seconds, for estimates.
    """

    def __init__(self, *, keep: int = 16, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below and every field of every job
        self._waiting: dict[str, list[Job[Any]]] = defaultdict(list)  # by device, in the order of requests
        self._turns: dict[str, list[str]] = defaultdict(list)  # by device, users with waiting jobs; the first is next
        self._running: dict[str, list[Job[Any]]] = defaultdict(list)  # by device; at most one is not paused
        self._wanted: dict[tuple[str, str], Job[Any]] = {}  # by user and slot
        self._ended: deque[Job[Any]] = deque(maxlen=keep)
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
        """Request `work`, replacing this user's earlier request in the same slot.

        Args:
            user: the user; users take turns.
            key: identifies the work with all its inputs: the same key must mean the same result.
            work: called once on a worker of the device; reports progress through its argument.
            device: the device whose worker runs it.
            slot: a user has one request at a time in each slot.
            urgent: whether it overtakes lesser work; an urgent request makes waiting work urgent.

        Returns:
            The job: a new one, or the one that computes, or has computed, the same. Failed and cancelled work is tried
            again.
        """
        with self._changed:
            job = self._find(key, device)
            if job is None:
                job = Job(self, key, device, urgent, work)
                self._waiting[device].append(job)
            claim = (user, slot)
            older = self._wanted.get(claim)
            if older is job and (job.urgent or not urgent):
                return job  # a page polls: nothing has changed
            if not job.state.ended:
                self._wanted[claim] = job
                job._wanted_by.add(claim)
            if job.state is State.QUEUED:
                job.urgent = job.urgent or urgent
                if user not in self._turns[device]:
                    self._turns[device].append(user)
            if older is not None and older is not job:
                self._release(older, claim)
            if (device, job.urgent) not in self._workers:
                self._start_worker(device, job.urgent)
            self._changed.notify_all()
            return job

    def pending(self, user: str | None = None) -> list[Job[Any]]:
        """The jobs that `user`, or any user, still waits for."""
        with self._changed:
            return list(dict.fromkeys(job for claim, job in self._wanted.items() if user in (None, claim[0])))

    def waiting_users(self) -> int:
        """The number of users who wait for a job."""
        with self._changed:
            return len({user for user, _ in self._wanted})

    def leave(self, user: str, keep: Sequence[str] = ()) -> None:
        """Drop all requests of a user who left or changed page, except those in the slots to keep."""
        with self._changed:
            for claim, job in list(self._wanted.items()):
                if claim[0] == user and claim[1] not in keep:
                    self._release(job, claim)

    # the methods from here to `_end` need the lock held

    def _find(self, key: str, device: str) -> Job[Any] | None:
        """The job that computes or has computed this, unless it failed, was cancelled or is stopping."""
        known = (*self._waiting[device], *self._running[device], *self._ended)
        equal = (job for job in known if (job.key, job.device) == (key, device) and not job._stopping)
        return next((job for job in equal if job.state not in (State.FAILED, State.CANCELLED)), None)

    def _order(self, device: str) -> list[tuple[str, Job[Any]]]:
        """The coming turns, users with their jobs, if nothing changes."""
        waiting = list(self._waiting[device])
        passed = self._passed(device)
        turns = list(self._turns[device])
        order = []
        while waiting:
            turn = _urgent_turn(turns, waiting, passed)
            if turn is None:  # the running work ends, then the first user's first work is next
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
        """The lesser work that waits or runs, and the users whose urgent work overtook it."""
        jobs = (*self._waiting[device], *self._running[device])
        return {job: job._passed_by for job in jobs if not job.urgent}

    def _passing(self, device: str) -> tuple[str, Job[Any]] | None:
        """The turn of urgent work that may overtake all lesser work, even what is running."""
        return _urgent_turn(self._turns[device], self._waiting[device], self._passed(device))

    def _next(self, device: str, urgent: bool) -> tuple[str, Job[Any]] | None:
        """The turn that a worker of the device may take now, None if there is none."""
        running = self._running[device]
        if running:
            return self._passing(device) if urgent and all(job._paused for job in running) else None
        order = self._order(device)
        return order[0] if order and order[0][1].urgent == urgent else None

    def _gives_way(self, job: Job[Any]) -> bool:
        """Whether running lesser work has to wait: other work runs in its pause, or comes next."""
        running = self._running[job.device]
        first = next((one for one in running if one.urgent), running[0])  # among paused jobs the one that began first
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
        self._changed.notify_all()  # the job that a paused one waits for may be gone

    def _drop_idle(self, device: str) -> None:
        """Remove the turns of users who wait for nothing on this device; they rejoin at the back."""
        waiting = set().union(*map(_users, self._waiting[device]))
        self._turns[device] = [user for user in self._turns[device] if user in waiting]

    def _end(self, job: Job[Any], state: State) -> None:
        job.state = state
        job.partial = job._work = None
        for claim in job._wanted_by:
            if self._wanted.get(claim) is job:
                del self._wanted[claim]
        job._wanted_by.clear()
        self._ended.append(job)
        job._ended.set()

    def _work(self, device: str, urgent: bool) -> None:
        while self._workers[device, urgent] is threading.current_thread():  # else another one replaces it
            job = self._take(device, urgent)
            self._run(job)
            del job  # an idle worker keeps no result alive

    def _take(self, device: str, urgent: bool) -> Job[Any]:
        """Wait for a turn and take it; the user goes to the back of the queue."""
        with self._changed:
            turn = self._changed.wait_for(lambda: self._next(device, urgent))
            assert turn is not None
            user, job = turn
            self._waiting[device].remove(job)
            running = self._running[device]
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
        """Wait, with the lock released, until no urgent work runs or may run before the rest of this job."""
        paused = self._clock()
        job._paused = True
        self._changed.notify_all()
        self._changed.wait_for(lambda: not job._wanted_by or not self._gives_way(job))
        job._paused = False
        away = self._clock() - paused
        job._began, job._reported = job._began + away, job._reported + away

    def _go_on(self, job: Job[Any]) -> None:
        """Pause or end the work if necessary; called at each report and before each batch."""
        with self._changed:
            if job.urgent and self._clock() - job._began > QUICK_SECONDS:
                job.urgent = False
                self._start_worker(job.device, urgent=True)  # for urgent work while this one pauses
            if job._wanted_by and not job.urgent and self._gives_way(job):
                self._pause(job)
            if not job._wanted_by:
                job._stopping = True  # from now on an equal request starts new work
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
        except BaseException as error:  # noqa: BLE001 - waiting users must see the error, and the queue must go on
            job.error = error
        if job.error is not None:
            user_message(job.error)  # logs it, unless the request was at fault
            traceback.clear_frames(job.error.__traceback__)  # otherwise it keeps all tensors of the failed work alive
        with self._changed:
            self._running[job.device].remove(job)
            if state is State.DONE:
                job.fraction = 1.0
            self._end(job, state)
            self._changed.notify_all()


def _users(job: Job[Any]) -> set[str]:
    """The users who want a job."""
    return {user for user, _ in job._wanted_by}


def _urgent_turn(
    turns: Sequence[str], waiting: Sequence[Job[Any]], passed: Mapping[Job[Any], set[str]]
) -> tuple[str, Job[Any]] | None:
    """The first user whose urgent work may overtake all this lesser work, with the oldest urgent job."""
    may = (user for user in turns if all(user not in by or user in _users(job) for job, by in passed.items()))
    return next(((user, job) for user in may for job in waiting if job.urgent and user in _users(job)), None)


def _plain_turn(turns: Sequence[str], waiting: Sequence[Job[Any]]) -> tuple[str, Job[Any]]:
    """The first user with waiting work, and the oldest of it, urgent before lesser."""
    user = next(user for user in turns if any(user in _users(job) for job in waiting))
    return user, min((job for job in waiting if user in _users(job)), key=lambda job: not job.urgent)


@cache
def shared() -> Jobs:
    """The queues and workers of this process, shared by all pages and users."""
    return Jobs(keep=4)  # results take 100 MB each at the largest resolution; older ones are in the store
