"""Turns, replacement, sharing and cancelling, each decided by events and never by waiting a while."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable

import pytest

from core.result import Result
from core.runtime.progress import Cancelled, OnProgress, batch_begins
from dashboard.work.jobs import QUICK_SECONDS, Job, Jobs, State, shared

SOON = 30.0  # seconds after which a test that should have moved on fails


class Gate:
    """Work that starts, then reports progress and ends only when told to."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.name = name
        self.log = log if log is not None else []
        self.calls = 0
        self.started = threading.Event()
        self._go = threading.Semaphore(0)
        self._reported = threading.Semaphore(0)
        self._steps: list[tuple[float, Result | None] | None] = []

    def __call__(self, on_progress: OnProgress) -> str:
        self.calls += 1
        self.log.append(self.name)
        self.started.set()
        while True:
            assert self._go.acquire(timeout=SOON)
            step = self._steps.pop(0)
            if step is None:
                return f"result of {self.name}"
            on_progress(*step)
            self._reported.release()

    def report(self, fraction: float, partial: Result | None = None) -> None:
        """Let it report once, and wait until it has."""
        self._poke((fraction, partial))
        assert self._reported.acquire(timeout=SOON)

    def poke(self) -> None:
        """Let it report once, without waiting: it may be cancelled by that."""
        self._poke((0.5, None))

    def open(self) -> None:
        """Let it return."""
        self._poke(None)

    def _poke(self, step: tuple[float, Result | None] | None) -> None:
        self._steps.append(step)
        self._go.release()


def occupy(jobs: Jobs) -> Gate:
    """Keep the worker busy, so that whatever is asked next must queue."""
    gate = Gate("first")
    jobs.submit("occupant", "first", gate)
    assert gate.started.wait(SOON)
    return gate


def at_once(name: str, log: list[str]) -> Callable[[OnProgress], str]:
    def work(on_progress: OnProgress) -> str:
        log.append(name)
        return name

    return work


def ended(*jobs: Job[str]) -> bool:
    return all(job.wait(SOON) for job in jobs)


def test_a_result_comes_back_with_full_progress():
    job = Jobs().submit("ada", "key", lambda on_progress: 42)
    assert job.wait(SOON)
    assert (job.state, job.result, job.fraction, job.error, job.remaining) == (State.DONE, 42, 1.0, None, 0.0)
    assert job.state.ended
    assert not State.RUNNING.ended


def test_users_take_turns():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    asked = [jobs.submit("ada", f"ada {i}", at_once(f"ada {i}", log), slot=str(i)) for i in range(3)]
    asked += [jobs.submit("bob", f"bob {i}", at_once(f"bob {i}", log), slot=str(i)) for i in range(2)]
    asked += [jobs.submit("cleo", "cleo 0", at_once("cleo 0", log))]
    assert [job.position for job in asked] == [1, 4, 6, 2, 5, 3]
    assert [job.state for job in asked] == [State.QUEUED] * 6
    gate.open()
    assert ended(*asked)
    assert log == ["ada 0", "bob 0", "cleo 0", "ada 1", "bob 1", "ada 2"]
    assert [job.position for job in asked] == [0] * 6


def test_who_was_served_goes_behind_those_who_wait():
    jobs, log = Jobs(), []
    gate = Gate("ada 0", log)
    jobs.submit("ada", "ada 0", gate, slot="0")
    assert gate.started.wait(SOON)
    bob = jobs.submit("bob", "bob", at_once("bob", log))
    ada = jobs.submit("ada", "ada 1", at_once("ada 1", log), slot="1")
    gate.open()
    assert ended(bob, ada)
    assert log == ["ada 0", "bob", "ada 1"]


def test_the_newest_request_replaces_the_queued_one_and_keeps_its_turn():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    old = jobs.submit("ada", "old", at_once("old", log))
    bob = jobs.submit("bob", "bob", at_once("bob", log))
    new = jobs.submit("ada", "new", at_once("new", log))
    assert old.state is State.CANCELLED
    assert (new.position, bob.position) == (1, 2)
    gate.open()
    assert ended(new, bob)
    assert log == ["new", "bob"]


def test_the_newest_request_stops_the_running_one():
    jobs, log = Jobs(), []
    gate = Gate("old")
    old = jobs.submit("ada", "old", gate)
    assert gate.started.wait(SOON)
    new = jobs.submit("ada", "new", at_once("new", log))
    gate.poke()
    assert ended(old, new)
    assert (old.state, old.result, new.state) == (State.CANCELLED, None, State.DONE)


def test_another_slot_is_left_alone():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    picture = jobs.submit("ada", "picture", at_once("picture", log), slot="picture")
    table = jobs.submit("ada", "table", at_once("table", log), slot="table")
    gate.open()
    assert ended(picture, table)
    assert log == ["picture", "table"]


def test_equal_requests_are_computed_once():
    jobs, gate = Jobs(), Gate("shared")
    first = jobs.submit("ada", "same", gate)
    assert gate.started.wait(SOON)
    second = jobs.submit("bob", "same", gate)
    gate.open()
    assert ended(first, second)
    third = jobs.submit("cleo", "same", gate)
    assert first is second is third
    assert (gate.calls, third.result) == (1, "result of shared")


def test_a_shared_job_runs_at_the_earliest_turn_of_those_who_asked():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    ada = jobs.submit("ada", "ada", at_once("ada", log), slot="0")
    late = jobs.submit("ada", "same", at_once("same", log), slot="1")
    assert late.position == 2
    bob = jobs.submit("bob", "bob", at_once("bob", log))
    jobs.submit("cleo", "same", at_once("same", log))
    assert (ada.position, bob.position, late.position) == (1, 2, 3)
    bob.cancel("bob")
    assert late.position == 2
    gate.open()
    assert ended(ada, late)
    assert log == ["ada", "same"]


def test_equal_keys_on_two_devices_are_two_jobs_on_two_workers():
    jobs = Jobs()
    here, there = Gate("here"), Gate("there")
    one = jobs.submit("ada", "same", here, device="cpu", slot="0")
    two = jobs.submit("ada", "same", there, device="cuda", slot="1")
    assert here.started.wait(SOON)
    assert there.started.wait(SOON)
    here.open()
    there.open()
    assert ended(one, two)
    assert one is not two


def test_cancelling_one_of_two_sharers_does_not_stop_the_work():
    jobs, gate = Jobs(), Gate("shared")
    job = jobs.submit("ada", "same", gate)
    jobs.submit("bob", "same", gate)
    job.cancel("ada")
    gate.report(0.5)
    assert (job.state, job.fraction) == (State.RUNNING, 0.5)
    assert (jobs.pending("ada"), jobs.pending("bob"), jobs.pending()) == ([], [job], [job])
    gate.open()
    assert ended(job)
    assert job.state is State.DONE


def test_cancelling_both_sharers_stops_the_work():
    jobs, gate = Jobs(), Gate("shared")
    job = jobs.submit("ada", "same", gate)
    jobs.submit("bob", "same", gate)
    assert gate.started.wait(SOON)
    job.cancel("ada")
    job.cancel("bob")
    gate.poke()
    assert ended(job)
    assert (job.state, job.result, job.partial) == (State.CANCELLED, None, None)
    again = jobs.submit("ada", "same", lambda on_progress: "afresh")
    assert again is not job
    assert ended(again)
    assert again.result == "afresh"


def test_asking_again_before_the_work_has_noticed_lets_it_go_on():
    jobs, gate = Jobs(), Gate("shared")
    job = jobs.submit("ada", "same", gate)
    assert gate.started.wait(SOON)
    job.cancel("ada")
    assert jobs.submit("bob", "same", gate) is job
    gate.report(0.5)
    gate.open()
    assert ended(job)
    assert (job.state, gate.calls) == (State.DONE, 1)


def test_asking_again_while_the_work_is_stopping_starts_it_afresh():
    jobs = Jobs()
    started, poke, noticed, go = (threading.Event() for _ in range(4))

    def slow_to_stop(on_progress: OnProgress) -> str:
        started.set()
        assert poke.wait(SOON)
        try:
            on_progress(0.5)
        except Cancelled:
            noticed.set()
            assert go.wait(SOON)
            raise
        return "never"

    job = jobs.submit("ada", "same", slow_to_stop)
    assert started.wait(SOON)  # cancelled while queued, it would not start at all
    job.cancel("ada")
    poke.set()
    assert noticed.wait(SOON)
    again = jobs.submit("ada", "same", lambda on_progress: "afresh")
    go.set()
    assert ended(job, again)
    assert (job.state, again.result) == (State.CANCELLED, "afresh")


def test_a_cancelled_job_that_still_waits_never_starts():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    job = jobs.submit("ada", "key", at_once("never", log))
    job.cancel("somebody else")
    assert job.state is State.QUEUED
    job.cancel("ada")
    assert (job.state, job.position) == (State.CANCELLED, 0)
    gate.open()
    assert ended(jobs.submit("bob", "bob", at_once("bob", log)))
    assert log == ["bob"]


def test_leaving_cancels_everything_a_user_wanted():
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    one, two = (jobs.submit("ada", str(i), at_once("never", log), slot=str(i)) for i in range(2))
    jobs.leave("ada")
    assert [one.state, two.state] == [State.CANCELLED] * 2
    jobs.leave("occupant")
    gate.poke()
    assert jobs.submit("bob", "bob", at_once("bob", log)).wait(SOON)
    assert log == ["bob"]


@pytest.mark.parametrize(
    ("error", "logged"),
    [(ValueError("expected three images, got two"), 0), (RuntimeError("out of paper"), 1), (SystemExit(3), 1)],
)
def test_a_failing_job_leaves_the_queue_working(
    error: BaseException, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs()

    def fail(on_progress: OnProgress) -> str:
        raise error

    with caplog.at_level(logging.ERROR, logger="dashboard.work.jobs"):
        failed = jobs.submit("ada", "key", fail)
        assert failed.wait(SOON)
    assert (failed.state, failed.error, failed.result) == (State.FAILED, error, None)
    assert len(caplog.records) == logged
    again = jobs.submit("ada", "key", lambda on_progress: "well")
    assert again.wait(SOON)
    assert again.result == "well"


def test_a_failed_job_keeps_its_error_and_nothing_of_its_work():
    class Tensor:
        pass

    alive = []

    def fail(on_progress: OnProgress) -> str:
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        raise ValueError(f"{type(tensor).__name__} does not fit")

    job = Jobs().submit("ada", "key", fail)
    assert job.wait(SOON)
    gc.collect()
    assert str(job.error) == "Tensor does not fit"
    assert alive[0]() is None


def test_progress_never_runs_backwards_and_the_latest_partial_stays():
    jobs, gate = Jobs(), Gate("work")
    coarse, finer = (Result(forwards=n, gradients=0, seconds=0.0) for n in (1, 2))
    job = jobs.submit("ada", "key", gate)
    gate.report(0.2, coarse)
    assert (job.fraction, job.partial) == (0.2, coarse)
    gate.report(0.6, finer)
    gate.report(0.4)
    assert (job.fraction, job.partial) == (0.6, finer)
    gate.report(7.0)
    assert job.fraction == 1.0
    gate.open()
    assert job.wait(SOON)
    assert job.partial is None


def test_the_time_that_remains_follows_the_pace_so_far():
    now = [100.0]
    jobs, gate = Jobs(clock=lambda: now[0]), Gate("work")
    job = jobs.submit("ada", "key", gate)
    assert gate.started.wait(SOON)
    assert job.remaining is None
    now[0] = 102.0
    gate.report(0.25)  # 2 s for a quarter: 8 s in all
    assert job.remaining == pytest.approx(6.0)
    now[0] = 105.0
    assert job.remaining == pytest.approx(3.0)
    now[0] = 200.0
    assert job.remaining == 0.0
    waiting = jobs.submit("bob", "other", lambda on_progress: None)
    assert waiting.remaining is None
    gate.open()
    assert ended(job, waiting)
    assert job.remaining == 0.0


def test_only_the_last_ended_jobs_are_remembered():
    jobs = Jobs(keep=2)
    log: list[str] = []
    first = [jobs.submit("ada", str(i), at_once(str(i), log), slot=str(i)) for i in range(3)]
    assert ended(*first)
    again = [jobs.submit("ada", str(i), at_once(str(i), log), slot=str(i)) for i in (1, 2, 0)]
    assert ended(*again)
    assert (again[0], again[1]) == (first[1], first[2])
    assert again[2] is not first[0]
    assert log == ["0", "1", "2", "0"]


def test_many_users_at_once_all_get_their_own_result():
    jobs = Jobs()
    results: dict[int, str | None] = {}
    barrier = threading.Barrier(8)

    def ask(number: int) -> None:
        barrier.wait(SOON)
        for step in range(20):
            job = jobs.submit(f"user {number}", f"{number} {step}", at_once(f"{number} {step}", []))
        assert job.wait(SOON)
        results[number] = job.result

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert results == {number: f"{number} 19" for number in range(8)}
    assert jobs.pending() == []


def urgently(jobs: Jobs, user: str, log: list[str], name: str = "", **options: str) -> Job[str]:
    """Ask for urgent work that ends at once."""
    return jobs.submit(user, name or f"{user} urgent", at_once(name or user, log), urgent=True, **options)


def test_urgent_work_goes_before_lesser_work_that_waits() -> None:
    jobs, log = Jobs(), []
    gate = Gate("zoom")
    jobs.submit("ada", "zoom", gate, urgent=True)
    assert gate.started.wait(SOON)
    lesser = [jobs.submit(user, f"{user} lesser", at_once(f"{user} lesser", log), slot="1") for user in ("bob", "ada")]
    urgent = [urgently(jobs, user, log, slot="0") for user in ("cleo", "bob")]
    assert [job.position for job in (*urgent, *lesser)] == [2, 1, 4, 3]  # bob asked first
    gate.open()
    assert ended(*lesser, *urgent)
    assert log == ["bob", "cleo", "ada lesser", "bob lesser"]


def test_lesser_work_under_way_pauses_for_urgent_work() -> None:
    now = [0.0]
    jobs, log = Jobs(clock=lambda: now[0]), []
    profile, zoom = Gate("profile"), Gate("zoom")
    lesser = jobs.submit("ada", "profile", profile, slot="profile")
    assert profile.started.wait(SOON)
    now[0] = 10.0
    profile.report(0.5)
    urgent = jobs.submit("ada", "zoom", zoom, slot="zoom", urgent=True)
    other = jobs.submit("ada", "other", at_once("other", log), slot="other")
    assert not zoom.started.is_set()  # one at a time: the other has not yet come to its next report
    profile.poke()
    assert zoom.started.wait(SOON)
    assert (lesser.state, urgent.state, other.position) == (State.RUNNING, State.RUNNING, 1)
    now[0] = 100.0
    zoom.open()
    assert ended(urgent)
    profile.report(0.5)
    assert lesser.remaining == pytest.approx(10.0)  # the pause is no part of its pace
    assert log == []
    profile.open()
    assert ended(lesser, other)
    assert (lesser.state, lesser.result, profile.calls) == (State.DONE, "result of profile", 1)


def test_urgent_work_pauses_for_nothing() -> None:
    jobs, log = Jobs(), []
    gate = Gate("slice")
    first = jobs.submit("ada", "slice", gate, urgent=True)
    assert gate.started.wait(SOON)
    second = urgently(jobs, "bob", log)
    gate.report(0.5)
    assert (first.state, second.state) == (State.RUNNING, State.QUEUED)
    gate.open()
    assert ended(first, second)


def test_urgent_work_that_takes_long_lets_quick_work_of_others_pass() -> None:
    now = [0.0]
    jobs, log = Jobs(clock=lambda: now[0]), []
    slow, slower, go = Gate("slow"), Gate("slower"), threading.Event()
    first = jobs.submit("ada", "slow", slow, urgent=True)
    assert slow.started.wait(SOON)
    quick = urgently(jobs, "bob", log)
    slow.report(0.1)
    assert log == []
    now[0] += 2 * QUICK_SECONDS
    slow.report(0.2)  # from here on it is lesser work, which bob's has passed
    assert ended(quick)
    assert (first.state, first.urgent) == (State.RUNNING, False)
    second = jobs.submit("cleo", "slower", slower, urgent=True)
    slow.poke()
    assert slower.started.wait(SOON)
    now[0] += 2 * QUICK_SECONDS
    slower.poke()  # as long as the first, which goes on
    slow.open()
    assert ended(first)
    slower.open()
    assert ended(second)

    def quiet(on_progress: OnProgress) -> None:
        for _ in range(2):
            batch_begins()
            go.wait(SOON)

    silent = jobs.submit("ada", "quiet", quiet)
    jobs.submit("ada", "kept", at_once("kept", log), slot="series")
    while silent.state is State.QUEUED:
        silent.wait(0.01)
    jobs.leave("ada", keep=("series",))
    go.set()
    assert ended(silent)
    assert silent.state is State.CANCELLED  # it ends where a batch begins, though it never reports
    assert ended(jobs.submit("ada", "kept", at_once("kept", log), slot="series"))


def test_nobody_passes_the_same_lesser_work_of_another_twice() -> None:
    jobs, log = Jobs(), []
    profile, zoom = Gate("profile"), Gate("zoom")
    lesser = jobs.submit("bob", "profile", profile)
    assert profile.started.wait(SOON)
    jobs.submit("ada", "zoom", zoom, urgent=True)
    profile.poke()
    assert zoom.started.wait(SOON)
    again = urgently(jobs, "ada", log, "ada again", slot="1")
    queued = jobs.submit("bob", "queued", at_once("bob queued", log), slot="1")
    cleo = urgently(jobs, "cleo", log)
    zoom.open()
    assert cleo.wait(SOON)
    profile.report(0.7)  # it goes on although ada's next zoom waits
    assert (again.state, lesser.state) == (State.QUEUED, State.RUNNING)
    profile.open()
    assert ended(lesser, again, queued)
    assert log == ["cleo", "ada again", "bob queued"]


def test_a_stream_of_urgent_work_does_not_keep_others_waiting() -> None:
    jobs, log = Jobs(), []
    gate = Gate("ada 0")
    jobs.submit("ada", "ada 0", gate, urgent=True, slot="0")
    assert gate.started.wait(SOON)
    bob = jobs.submit("bob", "bob", at_once("bob", log))
    more = [urgently(jobs, "ada", log, f"ada {i}", slot=str(i)) for i in (1, 2, 3)]
    assert [job.position for job in (bob, *more)] == [2, 1, 3, 4]
    gate.open()
    assert ended(bob, *more)
    assert log == ["ada 1", "bob", "ada 2", "ada 3"]


def test_paused_work_can_be_cancelled() -> None:
    jobs, log = Jobs(), []
    profile, zoom = Gate("profile"), Gate("zoom")
    lesser = jobs.submit("ada", "profile", profile, slot="profile")
    assert profile.started.wait(SOON)
    urgent = jobs.submit("ada", "zoom", zoom, slot="zoom", urgent=True)
    profile.poke()
    assert zoom.started.wait(SOON)
    lesser.cancel("ada")
    assert lesser.wait(SOON)
    assert (lesser.state, urgent.state) == (State.CANCELLED, State.RUNNING)
    after = jobs.submit("ada", "after", at_once("after", log), slot="profile")
    assert after.state is State.QUEUED  # the other worker is idle, the device is not
    zoom.open()
    assert ended(urgent, after)


def test_work_goes_on_when_the_urgent_work_it_paused_for_is_cancelled() -> None:
    jobs = Jobs()
    gates = [Gate(name) for name in ("profile", "zoom", "never")]
    lesser = jobs.submit("ada", "profile", gates[0], slot="profile")
    assert gates[0].started.wait(SOON)
    zoom = jobs.submit("ada", "zoom", gates[1], slot="zoom", urgent=True)
    gates[0].poke()
    assert gates[1].started.wait(SOON)
    never = jobs.submit("ada", "never", gates[2], slot="zoom", urgent=True)  # in place of the zoom
    never.cancel("ada")
    gates[1].poke()
    assert ended(zoom, never)
    gates[0].report(0.9)
    gates[0].open()
    assert ended(lesser)
    assert (lesser.state, zoom.state, gates[2].calls) == (State.DONE, State.CANCELLED, 0)


def test_waiting_work_becomes_urgent_when_someone_asks_for_it_urgently() -> None:
    jobs, log = Jobs(), []
    gate = occupy(jobs)
    lesser = jobs.submit("ada", "lesser", at_once("lesser", log), slot="0")
    job = jobs.submit("ada", "shared", at_once("shared", log), slot="1")
    assert (lesser.position, job.position) == (1, 2)
    assert jobs.submit("bob", "shared", at_once("shared", log), urgent=True) is job
    assert (lesser.position, job.position) == (2, 1)
    gate.poke()
    assert job.wait(SOON)
    gate.open()
    assert ended(lesser)
    assert log == ["shared", "lesser"]


def test_many_users_with_urgent_and_lesser_work_all_get_theirs_one_at_a_time() -> None:
    jobs, busy, most = Jobs(), [0], [0]
    lock, barrier = threading.Lock(), threading.Barrier(6)
    done: list[str | None] = []

    def work(name: str) -> Callable[[OnProgress], str]:
        def run(on_progress: OnProgress) -> str:
            for step in range(5):
                with lock:
                    busy[0] += 1
                    most[0] = max(most[0], busy[0])
                with lock:
                    busy[0] -= 1
                on_progress(step / 5)
            return name

        return run

    def ask(number: int) -> None:
        barrier.wait(SOON)
        for step in range(20):
            name = f"{number} {step}"
            urgent = step % 3 == 0
            last = jobs.submit(f"user {number}", name, work(name), slot=str(step % 2), urgent=urgent)
            if step % 5 == 4:
                assert last.wait(SOON)
                done.append(last.result)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(done) == sorted(f"{number} {step}" for number in range(6) for step in (4, 9, 14, 19))
    assert most[0] == 1


def test_a_process_has_one_set_of_workers():
    assert shared() is shared()
