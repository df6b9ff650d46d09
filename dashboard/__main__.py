"""Start the dashboard: `python -m dashboard [--host 127.0.0.1] [--port 8501] [--read-only]`.

Streamlit finds `.streamlit/config.toml` only when started from the checkout, and without it would listen on every
interface. So this module reads that file and passes each of its lines to Streamlit as a flag, followed by the safety
options: flags override configuration files and environment variables, wherever the command is started.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import socket
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.runtime.threads import wait_briefly
from dashboard.uploads import limits as server_limits
from dashboard.uploads.limits import MB, Limits

CHECKOUT = Path(__file__).resolve().parents[1]
APP = CHECKOUT / "dashboard" / "app.py"
READ_ONLY = "BOUNDARY_ATLAS_READ_ONLY"  # `dashboard.uploads.session_uploads` reads it
CONFIG = CHECKOUT / ".streamlit" / "config.toml"

# No configuration file may relax these: no other origin, no forged request, no telemetry, no folder of static files, no
# interface for agents, no stack trace on a page.
SAFETY = {
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.enableAgentApi": "false",
    "server.scriptHealthCheckEnabled": "false",
    "server.maxMessageSize": "200",
    "server.maxWidgetStateSize": "10",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "type",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "viewer",
    "global.developmentMode": "false",
}

_LIMITS = {  # by limit: unit, its name, and help of the option
    "sessions": (1, "N", "browsers connected at once (default: 64)"),
    "upload": (MB, "MB", "largest file (default: 8192, shared: 500)"),
    "session_uploads": (MB, "MB", "uploads of one session (default: 16384, shared: 1000)"),
    "all_uploads": (MB, "MB", "uploads of all sessions (default: 16384, shared: 4000)"),
    "files": (1, "N", "uploaded files of one session (default: 6000)"),
    "memory": (MB, "MB", "resident memory above which /healthz asks for a restart (default: 80 percent of all memory)"),
}
_WAITING = 2048  # connections that wait to be accepted


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, print the dashboard's address, and serve it until interrupted.

    Args:
        arguments: the command line, `sys.argv[1:]` when None.
    """
    chosen = _parse(arguments)
    if chosen.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(chosen.threads)  # read by torch when it is first imported
    wait_briefly()
    os.environ.pop(READ_ONLY, None)
    if chosen.read_only:
        os.environ[READ_ONLY] = "1"
    limits = limits_of(chosen)
    if not is_loopback(chosen.host):
        uploads = "" if chosen.read_only else "upload files to it "
        print(
            f"Listening on {chosen.host}: everyone who can reach this machine over the network can open the dashboard, "
            f"{uploads}and use its processor, because it asks for no password.",
            flush=True,
        )
    try:
        server_limits.allow_descriptors(limits.sessions)
        listening = _listen(chosen.host, chosen.port)
    except OSError as error:
        reason = error.strerror or error
        sys.exit(f"cannot listen on {chosen.host} port {chosen.port}: {reason}; choose another with --port")
    except ValueError as error:
        sys.exit(str(error))
    print(f"Boundary Atlas: {address(chosen.host, chosen.port)}", flush=True)

    sys.path.insert(0, str(CHECKOUT))  # `core` and `dashboard` of this checkout come before others of that name
    from dashboard.server import application

    flags = streamlit_flags(
        chosen.host,
        chosen.port,
        headless=chosen.headless,
        hosts=chosen.allow_host,
        origins=chosen.allow_origin,
        upload=limits.upload,
    )
    with listening:
        application.serve(
            APP, listening, flags, limits, metrics=chosen.metrics, address=address(chosen.host, chosen.port)
        )


def limits_of(chosen: argparse.Namespace) -> Limits:
    """The limits of the command line; by default higher on the user's own machine than on a shared server."""
    alone = is_loopback(chosen.host) and not chosen.allow_host  # a server behind a proxy listens on loopback, too
    usual = server_limits.OWN_MACHINE if alone else server_limits.SHARED
    given = {name: value * unit for name, (unit, *_) in _LIMITS.items() if (value := getattr(chosen, name)) is not None}
    memory = int(0.8 * server_limits.memory_here())
    return replace(usual, **{"memory": memory, "read_only": chosen.read_only, **given})


def streamlit_flags(
    host: str,
    port: int,
    *,
    headless: bool = False,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    upload: int = server_limits.OWN_MACHINE.upload,
) -> list[str]:
    """The options of Streamlit that the dashboard sets.

    Args:
        host: the address to listen on.
        port: the port to listen on.
        headless: open no browser; when False, Streamlit opens one if there is a screen.
        hosts: further names under which browsers may reach this server, such as a proxy's.
        origins: origins of other pages that may talk to it.
        upload: the largest size of a file, in bytes.

    Returns:
        `--section.option=value`, one for each option; `server.allowedHosts` and `server.corsAllowedOrigins` have one
        for each name.
    """
    options = dict(_options(tomllib.loads(CONFIG.read_text(encoding="utf-8"))))
    options |= SAFETY
    options |= {"server.address": host, "server.port": str(port), "logger.hideWelcomeMessage": "true"}
    options["server.maxUploadSize"] = str(-(-upload // MB) + 1)  # Streamlit counts the form around a file, too
    if headless:
        options["server.headless"] = "true"
    flags = [f"--{name}={value}" for name, value in options.items()]
    if is_loopback(host) or hosts:  # refuses pages elsewhere whose name was rebound to this address
        names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1", *hosts))
        flags += [f"--server.allowedHosts={name}" for name in names]
    ours = [f"{scheme}://{name}" for name in hosts for scheme in ("http", "https")]
    flags += [f"--server.corsAllowedOrigins={origin}" for origin in dict.fromkeys((*ours, *origins))]
    return flags


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description="Serve the Boundary Atlas dashboard.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: 8501)")
    parser.add_argument("--headless", action="store_true", help="do not open a browser")
    parser.add_argument("--read-only", action="store_true", help="take no uploads: demo models and images only")
    parser.add_argument("--threads", type=int, help="processor threads for tensor work (default: all)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name under which a proxy serves this dashboard",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="page elsewhere that may talk to this dashboard, such as https://atlas.example:8443",
    )
    parser.add_argument("--metrics", action="store_true", help="let Streamlit's metrics be read at /_stcore/metrics")
    for name, (_, unit, help_text) in _LIMITS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar=unit, help=help_text)
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.port <= 65535:
        parser.error(f"expected a port from 1 to 65535, got {chosen.port}")
    if chosen.threads is not None and chosen.threads < 1:
        parser.error(f"expected at least one thread, got {chosen.threads}")
    for name in _LIMITS:
        if (value := getattr(chosen, name)) is not None and value < 1:
            parser.error(f"expected --{name.replace('_', '-')} of at least 1, got {value}")
    return chosen


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; on `::` also for IPv4."""
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(place)
        made.listen(_WAITING)
    except OSError:
        made.close()
        raise
    return made


def _options(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a configuration file as Streamlit reads them from flags: ("theme.light.textColor", "#23262d")."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
