"""What a server that strangers reach takes, refuses and tells, over real connections."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from dashboard.server import gate as server_gate
from dashboard.server import probe
from dashboard.server.gate import Gate
from dashboard.uploads.held_uploads import HeldUploads
from dashboard.uploads.limits import MB, Limits
from dashboard.viewer.words import PAGES
from tests.visitors import Visitor

if TYPE_CHECKING:
    from tests.conftest import Dashboard


def asked(
    dashboard: Dashboard, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=30)
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, answer.headers, said


def health(dashboard: Dashboard) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{dashboard.url}/healthz", timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        told = {**json.load(error), "status": error.code}
    return told


def eventually(what: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def small(serve: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    """A server with room for little, which forgets lost sessions after two seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL", "2")
        limits = {"--sessions": 3, "--upload": 3, "--session-uploads": 5, "--all-uploads": 8, "--files": 4}
        flags = [str(each) for pair in limits.items() for each in pair]
        return serve(tmp_path_factory.mktemp("small"), *flags)


@pytest.fixture(scope="module")
def closed(serve: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    """A server that takes no uploads, whose metrics are open."""
    return serve(tmp_path_factory.mktemp("closed"), "--read-only", "--metrics")


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_a_read_only_server_takes_no_upload_at_its_address_either(closed: Dashboard) -> None:
    with Visitor(closed.port) as visitor:
        visitor.open("limits")
        before = health(closed)["memory_mb"]
        for number in range(8):
            status, sentence = visitor.upload(bytes(40 * MB), file=f"file-{number}")
            assert (status, sentence.count("\n")) == (403, 0)
            assert "expected no uploads" in sentence
        told = health(closed)
        assert told["uploads_mb"] == 0
        assert told["memory_mb"] < before + 100  # of 320 that were sent


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "BREW"])
@pytest.mark.parametrize("path", ["/", "/slices", "/_stcore/upload_file", "/_stcore/agent/interact", "/healthz"])
def test_nothing_else_takes_anything(small: Dashboard, path: str, method: str) -> None:
    status, _, said = asked(small, path, method, body=b"x" * 100_000)
    assert (status, said.count("\n")) == (405, 0)


def test_uploads_are_limited_in_size_for_each_session_and_for_all(small: Dashboard) -> None:
    with Visitor(small.port) as first, Visitor(small.port) as second:
        first.open("limits")
        second.open("limits")
        assert first.upload(bytes(5 * MB), file="large")[0] == 413
        assert first.upload(bytes(2 * MB), file="a")[0] == 204
        assert first.upload(bytes(2 * MB), file="b")[0] == 204
        status, sentence = first.upload(bytes(3 * MB), file="c")
        assert status == 413
        assert "at most 5 MB of uploads in one session" in sentence
        assert second.upload(bytes(3 * MB), file="a")[0] == 204
        assert health(small)["uploads_mb"] == 7
        status, sentence = second.upload(bytes(2 * MB), file="b")
        assert status == 507
        assert "try again later" in sentence
    eventually(lambda: health(small)["uploads_mb"] == 0)  # when their browsers have gone


def test_uploads_are_limited_in_number(small: Dashboard) -> None:
    with Visitor(small.port) as visitor:
        visitor.open("limits")
        said = [visitor.upload(b"x", file=str(number))[0] for number in range(6)]
        assert said == [204, 204, 204, 204, 429, 429]


def test_uploads_in_the_name_of_nobody_are_refused(small: Dashboard) -> None:
    with Visitor(small.port) as visitor:
        visitor.open("limits")
        status, sentence = visitor.upload(b"x" * MB, session="0123")
        assert status == 403
        assert "reload it" in sentence
    assert health(small)["uploads_mb"] == 0


def test_an_upload_whose_size_is_not_said_is_cut_off_where_it_is_too_large(small: Dashboard) -> None:
    with Visitor(small.port) as visitor, socket.create_connection(("127.0.0.1", small.port), 30) as line:
        visitor.open("limits")
        status, headers, _ = asked(small, "/_stcore/health")
        assert status == 200
        cookie = headers["Set-Cookie"].partition(";")[0]
        head = (
            f"PUT /_stcore/upload_file/{visitor.session}/x HTTP/1.1\r\nHost: 127.0.0.1:{small.port}\r\n"
            f"Cookie: {cookie}\r\nX-Xsrftoken: {cookie.partition('=')[2]}\r\n"
            "Content-Type: multipart/form-data; boundary=edge\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        line.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(part), part))
        try:
            for _ in range(40):
                line.sendall(b"%x\r\n%s\r\n" % (MB, bytes(MB)))
        except OSError:  # it was cut off
            pass
        assert line.recv(200).startswith(b"HTTP/1.1 413")
    eventually(lambda: health(small)["uploads_mb"] == 0)


def test_a_browser_that_goes_in_the_middle_of_an_upload_leaves_one_line_in_the_log(small: Dashboard) -> None:
    before = len(small.log.read_text())
    with Visitor(small.port) as visitor:
        visitor.open("limits")
        with socket.create_connection(("127.0.0.1", small.port), 30) as line:
            cookie = asked(small, "/_stcore/health")[1]["Set-Cookie"].partition(";")[0]
            head = (
                f"PUT /_stcore/upload_file/{visitor.session}/x HTTP/1.1\r\nHost: 127.0.0.1:{small.port}\r\n"
                f"Cookie: {cookie}\r\nX-Xsrftoken: {cookie.partition('=')[2]}\r\n"
                f"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: {MB}\r\n\r\n"
            )
            part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(500)
            line.sendall(head.encode() + part)
            eventually(lambda: health(small)["uploads_mb"] == 0)
        eventually(lambda: "its browser has gone" in small.log.read_text()[before:])
        (told,) = small.log.read_text()[before:].splitlines()
    assert told.endswith(f"an upload ended after {len(part)} of {MB} bytes: its browser has gone")


def gate_of(limits: Limits, app: Any) -> tuple[Gate, HeldUploads]:
    uploads = HeldUploads("/_stcore/upload_file")
    return Gate(app, limits, uploads, lambda session: True), uploads


def test_a_stalled_upload_is_given_up_and_counted_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_gate, "_STALLED", 0.2)
    monkeypatch.setattr(server_gate, "_DRAINED", 0.1)
    sent: list[Any] = []
    during: list[int] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            during.append(gate.upload_bytes)

    parts = [{"type": "http.request", "body": bytes(MB), "more_body": True}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        return await asyncio.sleep(30)

    async def send(message: Any) -> None:
        sent.append(message)

    gate, _ = gate_of(Limits(), reads)
    scope = {"type": "http", "method": "PUT", "path": "/_stcore/upload_file/s/f", "headers": [(b"host", b"127.0.0.1")]}
    begin = time.monotonic()
    asyncio.run(gate(scope, receive, send))
    assert time.monotonic() - begin < 10
    assert during == [MB]
    assert sent[0]["status"] == 408
    assert gate.upload_bytes == 0


@pytest.mark.parametrize("path", ["/nosuch", "/etc/passwd", "/x/slices", "/slices/x"])
def test_an_address_without_a_page_says_so(small: Dashboard, path: str) -> None:
    status, headers, said = asked(small, path, headers={"Accept": "text/html"})
    assert status == 404
    assert "no page at this address" in said
    assert headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("path", [f"/{name}" for name in PAGES])
def test_every_page_is_there(small: Dashboard, path: str) -> None:
    assert asked(small, path)[0] == 200


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="big \xe7\x8c\xab.png"\r\n\r\n', "big 猫.png"),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xe2\x80\xae"\r\n\r\n', "a file"),
        (b"", "a file"),
    ],
)
def test_a_refused_upload_is_remembered_by_its_name(body: bytes, name: str) -> None:
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    gate, uploads = gate_of(Limits(upload=MB), None)
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/_stcore/upload_file/s/f",
        "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"9999999")],
    }
    asyncio.run(gate(scope, receive, send))
    assert sent[0]["status"] == 413
    ((called, reason),) = uploads.take_refused("s")
    assert (called, reason[:40]) == (name, "expected a file of at most 1 MB, got a l")
    assert uploads.take_refused("s") == []


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_beyond_the_last_session_a_page_says_so(small: Dashboard) -> None:
    eventually(lambda: health(small)["sessions"] == 0)
    with ExitStack() as people:
        for _ in range(3):
            people.enter_context(Visitor(small.port))
        eventually(lambda: health(small)["full"])
        for path in ("/", "/slices?rows=1,2,3"):
            status, headers, said = asked(small, path, headers={"Accept": "text/html"})
            assert status == 503
            assert "All 3 sessions of this server are taken" in said
            assert headers["Retry-After"] == "15"
            assert headers["X-Frame-Options"] == "SAMEORIGIN"
        status, _, said = asked(small, "/_stcore/health")
        assert status == 503
        assert "3 sessions open" in said
        with pytest.raises(InvalidStatus, match="503"):
            people.enter_context(Visitor(small.port))
        assert asked(small, "/favicon.png")[0] == 200
        told = health(small)
        assert (told["ok"], told["sessions"], told["most_sessions"]) == (True, 3, 3)  # full is not ill
    eventually(lambda: asked(small, "/")[0] == 200)
    with Visitor(small.port) as visitor:
        visitor.open("limits")


def test_sessions_leave_no_descriptor_behind(small: Dashboard) -> None:
    def visit() -> None:
        eventually(lambda: health(small)["sessions"] < 3)
        with Visitor(small.port) as visitor:
            visitor.open("limits")

    visit()
    eventually(lambda: health(small)["lost_sessions"] == 0)
    before = health(small)["descriptors"]
    for _ in range(12):
        visit()
    assert health(small)["lost_sessions"] <= 3  # as many as it lets in
    eventually(lambda: health(small)["lost_sessions"] == 0)
    eventually(lambda: health(small)["descriptors"] <= before)  # 36 more, were their event loops left open


# -- health -----------------------------------------------------------------------------------------------------------


def test_health_tells_the_numbers_of_the_process(small: Dashboard) -> None:
    told = health(small)
    folder = Path("/proc") / str(told["process"])
    if folder.exists():
        assert abs(len(list((folder / "fd").iterdir())) - told["descriptors"]) <= 5
        resident = int((folder / "statm").read_text().split()[1]) * 4096 // MB
        assert told["memory_mb"] == pytest.approx(resident, rel=0.2)
    assert (told["ok"], told["restart"]) == (True, [])
    assert told["most_descriptors"] > 3 * 8


def test_a_server_that_is_to_be_restarted_says_so(
    serve: Callable[..., Dashboard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path))
    tight = serve(tmp_path, "--memory", "20")
    told = health(tight)
    assert (told["status"], told["ok"]) == (503, False)
    assert told["restart"][0].endswith("MB of memory are in use, of 20 MB")
    assert probe.ask(tight.port)[:2] == (False, True)
    assert probe.main(["--port", str(tight.port), "--stop", str(told["process"])]) == 1
    assert "to be restarted" in capsys.readouterr().out
    eventually(lambda: not server_probe_answers(tight.port))


def server_probe_answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_who_does_not_answer_is_stopped_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[int] = []
    monkeypatch.setattr(probe, "_PAUSE", 0.0)
    monkeypatch.setattr(probe.os, "kill", lambda process, signal: stopped.append(process))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
    arguments = ["--port", str(port), "--stop", ""]
    own = str(os.getpid())
    arguments[-1] = own
    monkeypatch.setattr(probe, "_STARTING", 1e9)
    assert probe.main(arguments) == 1
    assert stopped == []
    monkeypatch.setattr(probe, "_STARTING", 0.1)
    assert probe.main(arguments) == 1
    assert stopped == [os.getpid()] * Path("/proc/self/stat").exists()


def test_one_that_is_well_is_left_alone(small: Dashboard) -> None:
    assert probe.main(["--port", str(small.port), "--stop", "4711"]) == 0


def test_strangers_hear_of_health_but_no_numbers(small: Dashboard) -> None:
    status, _, said = asked(small, "/healthz", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (status, json.loads(said)) == (200, {"ok": True, "full": False})


def test_metrics_are_closed_unless_asked_for(small: Dashboard, closed: Dashboard) -> None:
    assert asked(small, "/_stcore/metrics")[0] == 404
    assert asked(closed, "/_stcore/metrics")[0] == 200


# -- who asks, and how answers are headed -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/slices", "/healthz", "/_stcore/health", "/static/nothing", "/_stcore/metrics"])
def test_every_answer_keeps_the_page_to_itself(small: Dashboard, path: str) -> None:
    _, headers, _ = asked(small, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert not {"*", "'unsafe-eval'", "http:", "https:"} & set(policy.replace(";", " ").split())
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "'unsafe-inline'" not in scripts
    assert "Server" not in headers


def test_files_of_pages_are_sandboxed(small: Dashboard) -> None:
    policy = asked(small, "/media/0123.svg")[1]["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("sandbox")


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/host-config", "/healthz"])
def test_pages_elsewhere_are_told_nothing(small: Dashboard, path: str) -> None:
    for headers in (
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://another.example"},
        {"Origin": "null"},
        {"Host": "rebound.example"},
    ):
        status, answer, said = asked(small, path, headers=headers)
        assert (status, said.count("\n")) == (403, 0)
        assert "Access-Control-Allow-Origin" not in answer


def test_no_page_elsewhere_may_steer_it(small: Dashboard) -> None:
    assert json.loads(asked(small, "/_stcore/host-config")[2])["allowedOrigins"] == []


def test_what_a_refusal_costs_is_little(small: Dashboard) -> None:
    """Refused bodies are dropped as they come, by many at once."""
    before = health(small)["memory_mb"]
    senders = [
        threading.Thread(target=asked, args=(small, "/slices", "POST"), kwargs={"body": bytes(30 * MB)})
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert health(small)["memory_mb"] < before + 60  # of 240 that were sent
