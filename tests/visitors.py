"""Visitors of a dashboard without a browser: a websocket that speaks as Streamlit's page does."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

_WHOLE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


@dataclass
class Visitor:
    """Somebody who has a dashboard open, inside `with`.

    Attributes:
        port: of the dashboard, on this machine.
        session: what the dashboard calls this visitor; "" before the first page.
        texts: what the last page said, as Markdown, in the order of coming.
    """

    port: int
    host: str = "127.0.0.1"
    session: str = ""
    texts: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        address = f"ws://{self.host}:{self.port}/_stcore/stream"
        self._polls: dict[str, tuple[float, float]] = {}  # by fragment: every so many seconds, and when next
        self._line = connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, open_timeout=60)
        self._stream = self._line.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.__exit__(kind, error, at)

    def open(self, page: str = "", query: str = "", timeout: float = 240) -> tuple[float, float]:
        """Open a page, and ask for what it polls until it does not any more, as a browser does.

        Args:
            page: its name in the address, "" for the first.
            query: what stands behind the question mark.
            timeout: seconds until it is given up.

        Returns:
            Seconds until the page was drawn, and until everything on it was computed.

        Raises:
            TimeoutError: if it takes longer.
        """
        begin = time.monotonic()
        self._polls.clear()
        self.texts.clear()
        self._ask(query=query, page=page)
        drawn = 0.0
        polls: dict[str, tuple[float, float]] = {}
        while True:
            now = time.monotonic()
            if now - begin > timeout:
                raise TimeoutError(f"{page or 'home'} took more than {timeout} s")
            for fragment, (interval, due) in list(self._polls.items()):
                if now >= due:
                    self._polls[fragment] = interval, now + interval
                    self._ask(query=query, page=page, fragment=fragment)
            message = self._next(min(1.0, *(max(0.01, due - now) for _, due in self._polls.values()), 1.0))
            if message is None:
                continue
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id
                polls = {}
            elif kind == "auto_rerun":
                interval = message.auto_rerun.interval
                polls[message.auto_rerun.fragment_id] = interval, time.monotonic() + interval
            elif kind == "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._polls.pop(fragment, None)
            elif kind == "delta":
                self._read(message)
            elif kind == "script_finished" and message.script_finished in _WHOLE:
                drawn = drawn or time.monotonic() - begin
                self._polls = polls  # those of a run of the whole page; a fragment's own run says the same again
                if not self._polls:
                    return drawn, time.monotonic() - begin

    def upload(self, content: bytes, name: str = "a.bin", *, file: str = "file", session: str = "") -> tuple[int, str]:
        """Send a file to where uploaders send theirs.

        Args:
            content: of the file.
            name: of the file.
            file: what the upload is called in its address.
            session: in whose name; this visitor's where it is empty.

        Returns:
            Status and sentence of the answer.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", "/_stcore/health")
        answer = connection.getresponse()
        answer.read()
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        token = cookie.partition("=")[2]
        edge = "edge-of-the-form"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        headers = {
            "Cookie": cookie,
            "X-Xsrftoken": token,
            "Content-Type": f"multipart/form-data; boundary={edge}",
            "Origin": f"http://{self.host}:{self.port}",
        }
        connection.request("PUT", f"/_stcore/upload_file/{session or self.session}/{file}", body, headers)
        answer = connection.getresponse()
        said = answer.status, answer.read().decode()
        connection.close()
        return said

    def _ask(self, *, query: str, page: str, fragment: str = "") -> None:
        asked = BackMsg()
        asked.rerun_script.query_string = query
        asked.rerun_script.page_name = page
        if fragment:
            asked.rerun_script.fragment_id = fragment
            asked.rerun_script.is_auto_rerun = True
        self._stream.send(asked.SerializeToString())

    def _next(self, seconds: float) -> ForwardMsg | None:
        try:
            data = self._stream.recv(timeout=seconds)
        except TimeoutError:
            return None
        assert isinstance(data, bytes)
        message = ForwardMsg()
        message.ParseFromString(data)
        return message

    def _read(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        if element.WhichOneof("type") in ("markdown", "alert"):
            self.texts.append(getattr(element, element.WhichOneof("type")).body)
