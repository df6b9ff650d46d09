"""Many people on one server for long: `python -m tests.benchmarks.soak --people 24 --minutes 60`.

Starts a dashboard of its own (or visits one that runs, with `--port`), opens views in as many sessions, each changing
what it looks at again and again and coming back anew after a few pages, and prints once a minute, or as often as
`--every` says: latencies until a page is drawn and until all of it is computed, resident memory, descriptors, sessions.
Ends with 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.visitors import Visitor

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = ("demo:photos/standard", "demo:photos/adversarial", "demo:digits/standard", "demo:photos/prime")
PAGES = ("", "slices", "slices", "slices", "sparse", "margins", "limits", "images", "gallery")
PAGES_EACH = 5  # of one session, which then closes; another one comes


class Soak:
    """What visitors have met so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.drawn: list[float] = []
        self.settled: list[float] = []
        self.failures: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def visit(self, person: int) -> None:
        """Come and go until it is over."""
        chance = random.Random(person)
        while not self.over.is_set():
            try:
                with Visitor(self.port) as visitor:
                    for _ in range(PAGES_EACH):
                        if self.over.wait(chance.uniform(0, 2)):
                            return
                        page = chance.choice(PAGES)
                        rows = ",".join(map(str, chance.sample(range(100), 3)))
                        query = f"models={chance.choice(MODELS)}&rows={rows}&resolution=64" if page == "slices" else ""
                        drawn, settled = visitor.open(page, query)
                        with self._lock:
                            self.drawn.append(drawn)
                            self.settled.append(settled)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is counted and told
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}"[:200])
                self.over.wait(1)

    def since(self, drawn: int, settled: int) -> tuple[list[float], list[float]]:
        """Latencies that came after so many."""
        with self._lock:
            return self.drawn[drawn:], self.settled[settled:]


def middle_and_high(seconds: list[float]) -> str:
    """Median and 95th percentile."""
    if len(seconds) < 2:
        return "-"
    return f"{statistics.median(seconds):.2f} / {statistics.quantiles(seconds, n=20)[18]:.2f}"


def health(port: int) -> dict[str, int]:
    """What the server says of itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            told: dict[str, int] = json.load(answer)
    except urllib.error.HTTPError as error:
        told = json.load(error)
    return told


@contextmanager
def dashboard(options: list[str]) -> Iterator[int]:
    """A dashboard of its own, with a fresh cache."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--headless", "--port", str(port), *options],
            cwd=CHECKOUT,
            env={**os.environ, "BOUNDARY_ATLAS_CACHE": f"{folder}/cache"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                try:
                    health(port)
                    break
                except OSError:
                    time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(30)
            said = (Path(folder) / "log.txt").read_text()
            print(said[-3000:] if "Traceback" in said else "no traceback in the server's log")


def main() -> int:
    """Run it; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=60, help="seconds between lines of the table")
    parser.add_argument("--port", type=int, help="of a dashboard that runs already")
    chosen, options = parser.parse_known_args()
    if chosen.port is not None:
        return soak(chosen.port, chosen.people, chosen.minutes, chosen.every)
    with dashboard(options) as port:
        return soak(port, chosen.people, chosen.minutes, chosen.every)


def soak(port: int, people: int, minutes: float, every: float) -> int:
    """Visit, and print the table."""
    run = Soak(port)
    threads = [threading.Thread(target=run.visit, args=(person,), daemon=True) for person in range(people)]
    for thread in threads:
        thread.start()
    begin = time.monotonic()
    print("| minute | pages | drawn, s (median / 95 %) | computed, s | memory, MB | descriptors | sessions, lost |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    counted = 0
    while not run.over.is_set():
        time.sleep(max(0.0, min(every, 60 * minutes - (time.monotonic() - begin))))
        drawn, settled = run.since(counted, counted)
        counted += len(drawn)
        line(begin, port, drawn, settled)
        if time.monotonic() - begin >= 60 * minutes:
            run.over.set()
    for thread in threads:
        thread.join(300)
    time.sleep(3)
    line(begin, port, [], [])
    print(
        f"\n{len(run.drawn)} pages in all: drawn {middle_and_high(run.drawn)}, computed {middle_and_high(run.settled)}"
    )
    print(f"{len(run.failures)} failures", *sorted(set(run.failures))[:10], sep="\n  ")
    return 1 if run.failures else 0


def line(begin: float, port: int, drawn: list[float], settled: list[float]) -> None:
    """One line of the table."""
    told = health(port)
    minute = f"{(time.monotonic() - begin) / 60:.1f}"
    sessions = f"{told['sessions']}, {told['lost_sessions']}"
    columns = (minute, len(drawn), middle_and_high(drawn), middle_and_high(settled), told["memory_mb"])
    print("|", *(f"{each} |" for each in (*columns, told["descriptors"], sessions)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
