"""The gate between browsers and pages: which requests pass, how much they may upload, and the headers of answers.

It precedes everything that Streamlit answers and closes addresses that our pages do not use: Streamlit itself accepts
uploads even if a page shows no uploader, and websockets from any page of the visitor's own machine.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from streamlit.web.server.server_util import allowlisted_origins
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from core import wording
from core.images.archives import Refused
from dashboard.uploads.held_uploads import HeldUploads
from dashboard.uploads.limits import MB, Limits
from dashboard.viewer.words import PAGES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)\Z")
_NOT_A_PAGE = re.compile(r"/(_stcore|static|media|component|healthz|auth|oauth2callback)(/|\Z)|\.[^/]*\Z")
_READING = ("GET", "HEAD", "OPTIONS")
_FRAMING = 1 << 13  # bytes of an upload around the file in it
_STALLED = 60.0  # seconds without a byte after which an upload is aborted
_FILE_NAME = re.compile(rb'filename="([^"]{1,1000})"')
_NAMELESS = "a file"
_HEAD = 1 << 16  # bytes of a form that are searched for the file's name
_NAMED = 1.0  # seconds to wait for that name
_DRAINED = 5.0  # seconds for which a refused body is read and dropped, so that the client receives the refusal
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_OF_FILES = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"  # an opened SVG is a page

_FULL = "expected fewer people at once, this server has {most} sessions open, which is all it takes; try again later"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{meta}
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Boundary Atlas: {title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 34rem; margin: 20vh auto; padding: 0 1rem; color: #23262d;
background: #fbfaf7; }}</style></head>
<body><h1>{heading}</h1>
<p>{words}</p></body></html>
"""


def _full_page(most: int) -> str:
    return _PAGE.format(
        meta='<meta http-equiv="refresh" content="15">',
        title="full",
        heading="Boundary Atlas is full",
        words=f"All {most} sessions of this server are taken. This page tries again by itself every 15 seconds, and"
        " opens what you asked for when somebody has left.",
    )


_NO_SUCH_PAGE = _PAGE.format(
    meta="",
    title="no such page",
    heading="No such page",
    words='Boundary Atlas has no page at this address. <a href="/">Open its home page</a>.',
)


class Gate:
    """An ASGI application around another one.

    Attributes:
        connected: the number of connected browsers.

    Args:
        app: the application behind it.
        limits: of this server.
        uploads: the uploaded files in memory.
        known: whether a session of this name is connected.
        metrics: whether Streamlit's metrics may be read.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        uploads: HeldUploads,
        known: Callable[[str], bool],
        *,
        metrics: bool = False,
    ) -> None:
        self.connected = 0
        self._app = app
        self._limits = limits
        self._uploads = uploads
        self._known = known
        self._metrics = metrics
        self._arriving: Counter[str] = Counter()  # bytes of uploads in progress, by session
        self._coming: Counter[str] = Counter()  # their number
        self._policy = _page_policy()

    @property
    def upload_bytes(self) -> int:
        """Bytes of uploads in memory, including those in progress."""
        return self._uploads.bytes + self._arriving.total()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it in one sentence."""
        if scope["type"] == "websocket":
            await self._stream(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, self._headed(scope, send))
        else:
            await self._app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = _stranger(Headers(scope=scope))
        if refused is None and self.connected >= self._limits.sessions:
            refused = 503, _FULL.format(most=self._limits.sessions)
        if refused is not None:
            await receive()
            if "websocket.http.response" in scope.get("extensions", {}):
                await _answer(self._headed(scope, send), *refused, kind="websocket.http.response")
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        self.connected += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.connected -= 1

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        upload = _UPLOAD.search(path)
        if (refused := _stranger(headers)) is not None:
            await _refuse(receive, send, *refused)
        elif method not in (*_READING, *(("PUT", "DELETE") if upload else ())):
            await _refuse(receive, send, 405, f"expected a request to read, got {method[:20]}; nothing is sent here")
        elif upload is not None and method == "PUT":
            await self._upload(scope, receive, send, upload[1])
        elif path.endswith("/_stcore/metrics") and not self._metrics:
            await _refuse(receive, send, 404, "expected --metrics when this server was started; nothing is here")
        elif self.connected >= self._limits.sessions and path.endswith("/_stcore/health"):
            await _answer(send, 503, _FULL.format(most=self._limits.sessions))  # shown where a page waits to connect
        elif self.connected >= self._limits.sessions and not _NOT_A_PAGE.search(path):
            await _answer(send, 503, _full_page(self._limits.sessions), "text/html")
        elif path.strip("/") not in PAGES and not _NOT_A_PAGE.search(path):
            await _answer(send, 404, _NO_SUCH_PAGE, "text/html")
        else:
            await self._app(scope, receive, send)

    # -- uploads ------------------------------------------------------------------------------------------------------

    async def _upload(self, scope: Scope, receive: Receive, send: Send, session: str) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        if self._limits.read_only:
            sentence = "expected no uploads, this server takes none; start your own without --read-only"
            await _refuse(receive, send, 403, sentence)
            return
        if not self._known(session):
            await _refuse(receive, send, 403, "expected a page that is open, got one that is not; reload it")
            return
        announced = int(length) if length.isascii() and length.isdecimal() and len(length) < 16 else 0
        refused = self._too_much(session, announced, 1, 0)
        if refused is not None:
            self._uploads.refuse(session, Refused(await _file_name(receive), refused[1]))
            await _refuse(receive, send, *refused)
            return
        answered, came = False, 0

        async def counted() -> Message:
            """The next message, if there is room for it."""
            nonlocal came
            async with asyncio.timeout(_STALLED):
                message = await receive()
            size = len(message.get("body", b""))
            came += size
            self._arriving[session] += size
            if (over := self._too_much(session, 0, 0, came)) is not None:
                raise _RefusedError(*over)
            return message

        async def passed(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        with self._counted(session):
            try:
                await self._app(scope, counted, passed)
            except (_RefusedError, TimeoutError) as error:
                over = (
                    error.refusal if isinstance(error, _RefusedError) else (408, "expected a whole upload; try again")
                )
                if not answered:
                    self._uploads.refuse(session, Refused(_NAMELESS, over[1]))
                    await _refuse(receive, send, *over)
            except ClientDisconnect:
                logger.warning("an upload ended after %s of %s bytes: its browser has gone", f"{came:,}", length)
            finally:
                self._arriving[session] -= came

    @contextmanager
    def _counted(self, session: str) -> Iterator[None]:
        self._coming[session] += 1
        try:
            yield
        finally:
            self._coming[session] -= 1
            self._arriving, self._coming = +self._arriving, +self._coming  # drops sessions without uploads in progress

    def _too_much(self, session: str, more: int, files: int, came: int) -> tuple[int, str] | None:
        """Why an upload is too large, given `came` bytes received and `more` announced; None if it is not."""
        limits = self._limits
        count, held = self._uploads.of(session)
        held += self._arriving[session]
        if more + came > limits.upload + _FRAMING:
            return 413, f"expected a file of at most {limits.upload // MB:,} MB, got a larger one; load it by its path"
        if held + more > limits.session_uploads + _FRAMING:
            most = f"{limits.session_uploads // MB:,} MB"
            return 413, f"expected at most {most} of uploads in one session, got more; take some away"
        if count + self._coming[session] + files > limits.files:
            return 429, f"expected at most {limits.files:,} uploads in one session, got one more; take some away"
        if self.upload_bytes + more > limits.all_uploads + _FRAMING:
            return 507, "expected less at once, the uploads of all who use this server fill its memory; try again later"
        return None

    # -- answers ------------------------------------------------------------------------------------------------------

    def _headed(self, scope: Scope, send: Send) -> Send:
        """Send answers with the headers that isolate a page."""
        asked = Headers(scope=scope)
        file = "/media/" in scope["path"]

        async def headed(message: Message) -> None:
            if message["type"].endswith("response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = _OF_FILES if file else self._policy(asked.get("host", ""))
                if asked.get("origin") not in allowlisted_origins():  # pages of this server need none of these
                    for name in [name for name in headers if name.startswith("access-control-")]:
                        del headers[name]
            await send(message)

        return headed


class _RefusedError(Exception):
    """Raised when an upload grows beyond the limits."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.refusal = status, sentence


def _stranger(headers: Headers) -> tuple[int, str] | None:
    """Why a request is refused, judged by its Host and Origin headers; None if it is not."""
    host, origin = headers.get("host"), headers.get("origin")
    if not is_host_allowed(host):
        return 403, "expected this server's own name, got another; start it with --allow-host NAME"
    if origin is None or origin.partition("://")[2] == host or origin in allowlisted_origins():
        return None
    return 403, "expected a page of this server, got one from elsewhere; start it with --allow-origin ORIGIN"


async def _answer(
    send: Send, status: int, words: str, kind_of_text: str = "text/plain", kind: str = "http.response", **more: Any
) -> None:
    body = words.encode()
    headers = [
        (b"content-type", f"{kind_of_text}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *([(b"retry-after", b"15")] if status == 503 else []),
        *([(b"connection", b"close")] if more.get("close") else []),
    ]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": bool(more.get("close"))})


async def _file_name(receive: Receive) -> str:
    """The name of the file that a form begins with, which is all that is read of it."""
    try:
        async with asyncio.timeout(_NAMED):
            found = _FILE_NAME.search((await receive()).get("body", b"")[:_HEAD])
    except TimeoutError:
        found = None
    return wording.name(found[1].decode("utf-8", "replace"), _NAMELESS) if found else _NAMELESS


async def _refuse(receive: Receive, send: Send, status: int, sentence: str) -> None:
    """Refuse at once; read and drop the rest of the body for a moment, then close.

    A client that is still sending when the connection closes would lose the answer.
    """
    await _answer(send, status, sentence, close=True)
    try:
        async with asyncio.timeout(_DRAINED):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                continue
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _page_policy() -> Callable[[str], str]:
    """The Content-Security-Policy of pages, by the Host header of the request.

    Nothing is fetched from elsewhere, and only Streamlit's own scripts run: its one inline script is allowed by its
    hash, components arrive as blobs, 64-bit integers need WebAssembly. Styles are inline throughout.
    """
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    scripts = _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    named = " ".join(f"'sha256-{each}'" for each in hashes)

    def policy(host: str) -> str:
        plain = re.fullmatch(r"[A-Za-z0-9.:\[\]-]{1,255}", host)  # older browsers do not take 'self' for a websocket
        streams = f" ws://{host} wss://{host}" if plain else ""
        return (
            f"default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval' {named}; "
            "style-src 'self' 'unsafe-inline'; "
            f"img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; "
            f"connect-src 'self'{streams} data: blob:; worker-src 'self' blob:; frame-src 'self'; object-src 'none'; "
            "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
        )

    return policy
