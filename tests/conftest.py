"""What every test has: a cache of its own, a fixed number of threads, a dashboard to start, a page to let settle.

`core` is imported inside functions only: the checks of shapes and types are put around it when it is first imported.
"""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import sparing

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

    from core.runtime.cost import Cost

CHECKOUT = Path(__file__).resolve().parents[1]
_cache = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep results and batch shapes of this run apart from the user's; rounding depends on the number of threads."""
    config.stash[_cache] = os.environ["BOUNDARY_ATLAS_CACHE"] = tempfile.mkdtemp(prefix="boundary-atlas-")
    # the machine may be busy: how long an example takes says nothing; and a run repeats the one before
    settings.register_profile("patient", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    # several workers share the cores: each has one thread, and so has what it starts; workers inherit this
    os.environ.setdefault("OMP_NUM_THREADS", "1" if config.getoption("numprocesses", None) else "2")
    sparing.install()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """With `--dist loadfile`, one worker takes all browser journeys: they wait a lot, and share a dashboard."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    return OneBrowser(config, log)


def pytest_sessionstart() -> None:
    """Threads wait as in the command line and the dashboard."""
    from core.runtime.threads import wait_briefly

    wait_briefly()


def pytest_collection_finish() -> None:
    """Collections of garbage pass over what was imported, which took a sixth of the time, and are rarer.

    Streamlit asks for one after every run of a page.
    """
    from dashboard.work.garbage import spare_imports

    spare_imports()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_setup() -> None:
    """Check every function anew."""
    sparing.next_test()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what `pytest_configure` made."""
    shutil.rmtree(config.stash[_cache], ignore_errors=True)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the repository."""
    return CHECKOUT


@pytest.fixture
def batch_size() -> Iterator[Callable[[int], None]]:
    """Have classifiers asked about so many images at a time, until the test ends."""
    from core.runtime import batches

    with ExitStack() as stack:
        yield lambda count: stack.enter_context(batches.batch_size(count))


@pytest.fixture
def settle() -> Callable[..., AppTest]:
    """Run a page until nobody waits for a job any more: AppTest itself fires no `run_every`."""
    from dashboard.work import jobs

    def run(app: AppTest, timeout: float = 120) -> AppTest:
        deadline = time.monotonic() + timeout
        while True:
            before = list(jobs.shared()._ended)
            app.run(timeout=timeout)
            pending = jobs.shared().pending()
            if pending and not pending[0].wait(deadline - time.monotonic()):
                states = [(job.key, str(job.state), job.fraction) for job in pending]
                pytest.fail(f"after {timeout} s these jobs have not ended: {states}")
            if not pending and list(jobs.shared()._ended) == before:  # else a job ended after the page had looked
                return app

    return run


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs in a process of its own."""

    url: str
    port: int
    log: Path


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Dashboard]]:
    """Start dashboards from a folder, on free ports; they end with the session."""
    running: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, *options: str, timeout: float = 90) -> Dashboard:
        port = _free_port()
        log = tmp_path_factory.mktemp("dashboard") / "log.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dashboard", "--headless", "--port", str(port), *options],
                cwd=folder,
                # threads of its own: journeys wait for it, while the worker that has the browser does nothing
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "2"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        dashboard = Dashboard(f"http://127.0.0.1:{port}", port, log)
        deadline = time.monotonic() + timeout
        while not _healthy(dashboard.url):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the dashboard did not come up:\n{log.read_text()}")
            time.sleep(0.1)
        return dashboard

    yield start
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def cost() -> Iterator[Cost]:
    """What the test puts through classifiers."""
    from core.runtime.cost import counting

    with counting() as account:
        yield account
