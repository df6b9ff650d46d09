"""Who can reach the dashboard, and what it refuses."""

from __future__ import annotations

import http.client
import os
import socket
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamlit import config

from dashboard import __main__ as start
from dashboard.server import application
from dashboard.uploads import limits as server_limits
from dashboard.uploads.limits import MB, OWN_MACHINE, SHARED, Limits

if TYPE_CHECKING:
    from tests.conftest import Dashboard


def options(flags: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        found.setdefault(name, []).append(value)
    return found


def answers(host: str, port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex((host, port)) == 0


@pytest.fixture(scope="module")
def elsewhere(serve: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    """A dashboard started where no configuration file is found."""
    return serve(tmp_path_factory.mktemp("elsewhere"))


def test_from_another_folder_it_listens_on_this_machine_only(elsewhere: Dashboard):
    table = Path("/proc/net/tcp")
    if table.exists():
        listening = {
            line.split()[1].partition(":")[0]
            for file in (table, Path("/proc/net/tcp6"))
            if file.exists()
            for line in file.read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{elsewhere.port:04X}")
        }
        assert listening == {"0100007F"}  # 127.0.0.1
    else:  # not Linux: nobody answers at the names other machines use
        names = socket.gethostbyname_ex(socket.gethostname())[2]
        open_names = [name for name in names if not start.is_loopback(name) and answers(name, elsewhere.port)]
        assert open_names == []


def test_it_prints_its_address(elsewhere: Dashboard):
    assert f"Boundary Atlas: {elsewhere.url}\n" in elsewhere.log.read_text()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", 101),
        ("localhost:{port}", "http://localhost:{port}", 101),
        ("rebound.example:{port}", "http://rebound.example:{port}", 403),
        ("127.0.0.1:{port}", "http://another.example", 403),
        ("127.0.0.1:{port}", "http://localhost:{port}", 403),
        ("127.0.0.1:{port}", "http://localhost:3000", 403),
        ("127.0.0.1:{port}", "http://127.0.0.1:3000", 403),
        ("127.0.0.1:{port}", "null", 403),
    ],
)
def test_only_its_own_pages_may_talk_to_it(elsewhere: Dashboard, host: str, origin: str, status: int):
    connection = http.client.HTTPConnection("127.0.0.1", elsewhere.port, timeout=30)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    for name, value in {
        "Host": host.format(port=elsewhere.port),
        "Origin": origin.format(port=elsewhere.port),
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "streamlit",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_every_flag_is_an_option_that_streamlit_knows():
    known = set(config._config_options_template)
    assert set(options(start.streamlit_flags("127.0.0.1", 8501, headless=True))) <= known


def test_every_line_of_the_configuration_file_becomes_a_flag():
    flags = options(start.streamlit_flags("127.0.0.1", 8501))
    assert flags["theme.light.backgroundColor"] == ["#fbfaf7"]
    assert flags["theme.dark.sidebar.backgroundColor"] == ["#1c1f25"]
    assert flags["theme.headingFontWeights"] == ["[600, 600, 600, 600, 600, 600]"]
    assert flags["theme.showSidebarBorder"] == ["true"]


def test_the_configuration_file_agrees_with_the_safety_options():
    file = dict(start._options(tomllib.loads(start.CONFIG.read_text(encoding="utf-8"))))
    assert {name: file[name] for name in file.keys() & start.SAFETY} == {
        name: start.SAFETY[name] for name in file.keys() & start.SAFETY
    }
    assert file["server.address"] == "127.0.0.1"


def test_no_configuration_file_relaxes_the_safety_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    relaxed = tmp_path / "config.toml"
    relaxed.write_text('[server]\naddress = "0.0.0.0"\nenableCORS = false\nenableXsrfProtection = false\n')
    monkeypatch.setattr(start, "CONFIG", relaxed)
    flags = options(start.streamlit_flags("127.0.0.1", 8501))
    assert flags["server.address"] == ["127.0.0.1"]
    assert flags["server.enableCORS"] == flags["server.enableXsrfProtection"] == ["true"]
    assert flags["browser.gatherUsageStats"] == ["false"]


@pytest.mark.parametrize(
    ("host", "hosts", "allowed"),
    [
        ("127.0.0.1", [], ["127.0.0.1", "localhost", "::1"]),
        ("0.0.0.0", [], None),
        ("0.0.0.0", ["atlas.example"], ["0.0.0.0", "localhost", "127.0.0.1", "::1", "atlas.example"]),
    ],
)
def test_names_under_which_browsers_may_call(host: str, hosts: list[str], allowed: list[str] | None):
    assert options(start.streamlit_flags(host, 8501, hosts=hosts)).get("server.allowedHosts") == allowed


@pytest.mark.parametrize(
    ("host", "loopback", "address"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8501"),
        ("127.8.9.10", True, "http://127.8.9.10:8501"),
        ("localhost", True, "http://localhost:8501"),
        ("::1", True, "http://[::1]:8501"),
        ("0.0.0.0", False, "http://localhost:8501"),
        ("192.0.2.7", False, "http://192.0.2.7:8501"),
        ("atlas.example", False, "http://atlas.example:8501"),
    ],
)
def test_which_addresses_stay_on_this_machine(host: str, loopback: bool, address: str):
    assert start.is_loopback(host) is loopback
    assert start.address(host, 8501) == address


@pytest.mark.parametrize(("host", "sentences"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_listening_to_the_network_is_said_in_one_sentence(
    host: str, sentences: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    served: list[tuple[Path, list[str], Limits]] = []
    monkeypatch.setattr(
        application, "serve", lambda script, listening, flags, limits, **_: served.append((script, flags, limits))
    )
    monkeypatch.setattr(start, "_listen", lambda host, port: socket.socket())
    monkeypatch.syspath_prepend("")  # `main` adds to the path; this puts it back afterwards
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    start.main(["--host", host, "--port", "8600", "--threads", "3"])
    said = capsys.readouterr().out
    assert said.count("everyone who can reach this machine") == sentences
    assert f"Boundary Atlas: {start.address(host, 8600)}\n" in said
    assert start.os.environ["OMP_NUM_THREADS"] == "3"
    ((script, flags, limits),) = served
    assert script == start.APP
    assert f"--server.address={host}" in flags
    assert limits.upload == (SHARED if sentences else OWN_MACHINE).upload
    assert f"--server.maxUploadSize={limits.upload // MB + 1}" in flags


def test_a_port_in_use_is_said_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1 port {port}: .*; choose another with --port"):
            start.main(["--port", str(port), "--headless"])


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["--port", "70000"], ["--threads", "0"], ["--sessions", "0"], ["--all-uploads", "-1"]],
)
def test_a_wrong_command_line_is_refused(arguments: list[str]):
    with pytest.raises(SystemExit):
        start.main(arguments)


def test_read_only_reaches_the_pages(monkeypatch: pytest.MonkeyPatch):
    ran: list[str | None] = []
    monkeypatch.setattr(application, "serve", lambda *args, **kwargs: ran.append(os.environ.get(start.READ_ONLY)))
    monkeypatch.setattr(start, "_listen", lambda host, port: socket.socket())
    monkeypatch.setenv(start.READ_ONLY, "left over")
    start.main(["--headless"])
    start.main(["--headless", "--read-only"])
    assert ran == [None, "1"]


def test_listening_for_others_says_what_that_means(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(application, "serve", lambda *args, **kwargs: None)
    monkeypatch.setattr(start, "_listen", lambda host, port: socket.socket())
    monkeypatch.setenv(start.READ_ONLY, "")
    start.main(["--headless", "--host", "0.0.0.0"])
    assert (
        "everyone who can reach this machine over the network can open the dashboard, upload files"
        in capsys.readouterr().out
    )
    start.main(["--headless", "--host", "0.0.0.0", "--read-only"])
    said = capsys.readouterr().out
    assert "everyone who can reach this machine" in said
    assert "upload" not in said


@pytest.mark.parametrize(
    ("arguments", "limits"),
    [
        ([], OWN_MACHINE),
        (["--host", "0.0.0.0"], SHARED),
        (["--allow-host", "atlas.example"], SHARED),  # a proxy is in front
        (["--host", "0.0.0.0", "--upload", "20", "--sessions", "3"], Limits(20 * MB, 1000 * MB, 4000 * MB, sessions=3)),
        (["--session-uploads", "5", "--all-uploads", "9", "--files", "7"], Limits(8192 * MB, 5 * MB, 9 * MB, 7)),
    ],
)
def test_what_a_server_takes(arguments: list[str], limits: Limits):
    found = start.limits_of(start._parse([*arguments, "--read-only"]))
    assert found == replace(limits, read_only=True, memory=found.memory)
    assert 0 < found.memory < server_limits.memory_here()
    assert start.limits_of(start._parse(["--memory", "300"])).memory == 300 * MB


def test_pages_of_a_proxy_and_those_asked_for_may_talk_to_it():
    flags = options(start.streamlit_flags("127.0.0.1", 8501, hosts=["a.example"], origins=["https://b.example:8443"]))
    assert flags["server.corsAllowedOrigins"] == ["http://a.example", "https://a.example", "https://b.example:8443"]
    assert "server.corsAllowedOrigins" not in options(start.streamlit_flags("127.0.0.1", 8501))


def test_more_sessions_than_the_system_has_descriptors_for_are_refused(monkeypatch: pytest.MonkeyPatch):
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(server_limits.resource, "getrlimit", lambda kind: (256, 1856))
    monkeypatch.setattr(server_limits.resource, "setrlimit", lambda kind, pair: set_to.append(pair))
    server_limits.allow_descriptors(100)
    assert set_to == [(1856, 1856)]
    with pytest.raises(ValueError, match="for 1000 sessions, got 1856 at most; .*--sessions 100"):
        server_limits.allow_descriptors(1000)
