"""A browser and one dashboard for all journeys: `page.goto("/")` opens it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

if TYPE_CHECKING:
    from tests.conftest import Dashboard

expect.set_options(timeout=60_000)  # generous: the machine may be busy, and a waiting assertion costs nothing


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The Chromium named by CHROMIUM, else the one on PATH, else Playwright's own; it may not phone anywhere."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return {
        **browser_type_launch_args,
        **({"executable_path": path} if path else {}),
        "args": [
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # its sandbox refuses root
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """A laptop's window."""
    return {**browser_context_args, "viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}


@pytest.fixture(scope="session")
def server(serve: Callable[..., Dashboard], checkout: Path) -> Dashboard:
    """The dashboard of this checkout, with a cache of its own."""
    return serve(checkout)


@pytest.fixture(scope="session")
def base_url(server: Dashboard) -> str:
    """Where `page.goto("/")` goes."""
    return server.url


@pytest.fixture(scope="session")
def serve_page(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Callable[..., str]]:
    """Serve a page of its own, one component alone; it ends with the session."""
    running: list[subprocess.Popen[bytes]] = []

    def start(script: str, *, themed: bool = False, timeout: float = 90) -> str:
        folder = tmp_path_factory.mktemp("page")
        (folder / "app.py").write_text(script, encoding="utf-8")
        if themed:  # in the dashboard's colours
            (folder / ".streamlit").mkdir()
            shutil.copy(checkout / ".streamlit" / "config.toml", folder / ".streamlit")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {"headless": "true", "address": "127.0.0.1", "port": port, "fileWatcherType": "none"}
        flags = [f"--server.{name}={value}" for name, value in options.items()]
        log = folder / "log.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", *flags, "--browser.gatherUsageStats=false"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(checkout)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + timeout
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
                return url
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the page did not come up:\n{log.read_text()}")
                time.sleep(0.1)

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(30)


@pytest.fixture
def context(context: BrowserContext) -> Iterator[BrowserContext]:
    """A browser's own profile, in which no script may fail, and nothing may be asked for that the policy forbids."""
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    context.set_default_timeout(60_000)
    yield context
    assert errors == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of that profile."""
    return context.new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the dashboard said beside a journey that failed."""
    report: Any = yield
    dashboard = getattr(item, "funcargs", {}).get("server")
    if report.failed and dashboard is not None:
        report.sections.append(("dashboard", dashboard.log.read_text()[-20_000:]))
    return report
