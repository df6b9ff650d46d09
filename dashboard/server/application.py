"""The server: Streamlit's application behind our gate, with sessions that end in time and a health check."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from streamlit import cli_util, config
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.web import bootstrap, cli
from streamlit.web.cache_storage_manager_config import create_default_cache_storage_manager
from streamlit.web.server.starlette import App

from dashboard.server.gate import Gate
from dashboard.server.sessions import LostSessions
from dashboard.uploads import limits as server_limits
from dashboard.uploads.held_uploads import HeldUploads
from dashboard.uploads.limits import MB, Limits
from dashboard.viewer.words import escape_markdown
from dashboard.work.unforeseen import user_message

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LOOKED_AFTER = 2.0  # seconds between checks for sessions that should end
_DESCRIPTORS = 0.9  # of those that the system allows: above, a restart is due
_PINGED = 30.0  # seconds between pings, and until a missing answer means that the browser is gone
_FAREWELL = 3  # seconds for running requests when the server stops
_REQUESTS_EACH = 8  # simultaneous connections of one session: a browser opens up to 6 besides its websocket


def shown(error: Exception) -> bool:
    """Show an uncaught error of a page or a callback in our words, in place of Streamlit's own box.

    Args:
        error: as Streamlit passes it to its error handler.

    Returns:
        True, so that Streamlit shows nothing else.
    """
    st.error(escape_markdown(user_message(error)))
    return True


class Server(App):
    """Streamlit's application behind the gate, with timed sessions and a health check.

    Args:
        script: the page.
        limits: of the server.
        metrics: whether Streamlit's metrics may be read.
        address: opened in a browser once the server listens; "" for none.
    """

    def __init__(self, script: Path, limits: Limits, *, metrics: bool = False, address: str = "") -> None:
        self._limits = limits
        self._metrics = metrics
        self._address = address
        self._began = time.monotonic()
        self._held = HeldUploads("/_stcore/upload_file")
        self._gate: Gate | None = None
        self._lost: LostSessions | None = None
        super().__init__(
            script,
            routes=[Route("/healthz", self._health)],
            middleware=[Middleware(self._behind_gate)],
            lifespan=self._looked_after,
        )

    def _behind_gate(self, app: ASGIApp) -> Gate:
        self._gate = Gate(app, self._limits, self._held, self._knows, metrics=self._metrics)
        return self._gate

    def _knows(self, session: str) -> bool:
        return Runtime.instance().is_active_session(session)

    def _create_runtime(self) -> Runtime:
        """The runtime as Streamlit makes it, with our storage of uploads and of lost sessions."""
        seconds = float(config.get_option("server.disconnectedSessionTTL"))
        self._lost = LostSessions(self._held, seconds, self._limits.sessions)
        return Runtime(
            RuntimeConfig(
                script_path=str(self._resolve_script_path()),
                media_file_storage=MemoryMediaFileStorage("/media"),
                uploaded_file_manager=self._held,
                cache_storage_manager=create_default_cache_storage_manager(),
                session_storage=self._lost,
                on_script_error=shown,
            )
        )

    @contextlib.asynccontextmanager
    async def _looked_after(self, app: App) -> AsyncIterator[None]:
        async def look() -> None:
            while True:
                await asyncio.sleep(_LOOKED_AFTER)
                if self._lost is not None:
                    self._lost.end_old()

        looking = asyncio.create_task(look(), name="end lost sessions")
        if self._address and not config.get_option("server.headless"):
            asyncio.get_running_loop().call_later(0.5, cli_util.open_browser, self._address)  # once it listens
        try:
            yield
        finally:
            looking.cancel()

    async def _health(self, request: Request) -> JSONResponse:
        """The health of the server: 503 with reasons if it should be restarted. Only this machine sees numbers."""
        assert self._gate is not None
        assert self._lost is not None
        (opened, allowed), resident = server_limits.descriptors(), server_limits.resident_memory()
        ready, _ = await Runtime.instance().is_ready_for_browser_connection
        reasons = [
            *([] if ready else ["it is starting or stopping"]),
            *([f"{opened} of {allowed} descriptors are open"] if opened > _DESCRIPTORS * allowed else []),
            *(
                [f"{resident // MB} MB of memory are in use, of {self._limits.memory // MB} MB"]
                if resident > self._limits.memory > 0
                else []
            ),
        ]
        health: dict[str, Any] = {"ok": not reasons, "full": self._gate.connected >= self._limits.sessions}
        if request.client is not None and request.client.host in ("127.0.0.1", "::1"):
            health |= {
                "restart": reasons,
                "sessions": self._gate.connected,
                "most_sessions": self._limits.sessions,
                "lost_sessions": len(self._lost),
                "descriptors": opened,
                "most_descriptors": allowed,
                "memory_mb": resident // MB,
                "most_memory_mb": self._limits.memory // MB,
                "uploads_mb": self._gate.upload_bytes // MB,
                "seconds": int(time.monotonic() - self._began),
                "process": os.getpid(),
            }
        return JSONResponse(health, status_code=503 if reasons else 200, headers={"Cache-Control": "no-store"})


def serve(
    script: Path,
    listening: socket.socket,
    flags: Sequence[str],
    limits: Limits,
    *,
    metrics: bool = False,
    address: str = "",
) -> None:
    """Serve the pages until interrupted.

    Args:
        script: the page.
        listening: a socket that is bound and listens.
        flags: options of Streamlit, as its command line takes them.
        limits: of the server.
        metrics: whether Streamlit's metrics may be read.
        address: opened in a browser if there is a screen.
    """
    server_limits.use(limits)
    app = Server(script, limits, metrics=metrics, address=address)
    parsed = cli.main_run.make_context("run", [str(script), *flags]).params  # including environment variables
    options = {name: value for name, value in parsed.items() if name not in ("target", "args")}
    options["client_allowedOrigins"] = []  # no page elsewhere may control this one from a frame around it
    bootstrap.load_config_options(options)
    host, port = listening.getsockname()[:2]
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_certfile=config.get_option("server.sslCertFile"),
        ssl_keyfile=config.get_option("server.sslKeyFile"),
        http="h11",  # accepts no more bytes of a body than announced
        ws="websockets-sansio",
        ws_max_size=config.get_option("server.maxWidgetStateSize") * 10**6,  # larger messages are not read
        ws_ping_interval=_PINGED,
        ws_ping_timeout=_PINGED,
        ws_per_message_deflate=False,
        limit_concurrency=_REQUESTS_EACH * limits.sessions + 64,
        timeout_graceful_shutdown=_FAREWELL,
        server_header=False,
        access_log=False,
        use_colors=False,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again after closing everything
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run(sockets=[listening])
