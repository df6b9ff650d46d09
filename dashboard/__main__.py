"""Start the dashboard: `python -m dashboard [--host 127.0.0.1] [--port 8501] [--read-only]`.

Streamlit finds `.streamlit/config.toml` only when started from the checkout, and without it would listen on every
interface. So that file is read here, and every line of it goes to Streamlit as a flag, after which come the safety
options: flags win over configuration files and environment variables, wherever this is started from.
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
from pathlib import Path

from core.threads import wait_briefly

CHECKOUT = Path(__file__).resolve().parents[1]
APP = CHECKOUT / "dashboard" / "app.py"
READ_ONLY = "BOUNDARY_ATLAS_READ_ONLY"  # `dashboard.brought` reads it
CONFIG = CHECKOUT / ".streamlit" / "config.toml"

# Not for a configuration file to relax: no other origin, no forged request, no telemetry, no folder of static files, no
# interface for agents, no stack trace on a page.
SAFETY = {
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.enableAgentApi": "false",
    "server.maxUploadSize": "500",
    "server.maxMessageSize": "200",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "type",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "viewer",
    "global.developmentMode": "false",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, say where the dashboard is, and serve it until interrupted.

    Args:
        arguments: the command line, `sys.argv[1:]` when None.
    """
    chosen = _parse(arguments)
    if chosen.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(chosen.threads)  # read by torch when it is first imported
    wait_briefly()
    if chosen.read_only:
        os.environ[READ_ONLY] = "1"
    else:
        os.environ.pop(READ_ONLY, None)
    if not is_loopback(chosen.host):
        uploads = "" if chosen.read_only else "upload files to it "
        print(
            f"Listening on {chosen.host}: everyone who can reach this machine over the network can open the dashboard, "
            f"{uploads}and use its processor, because it asks for no password.",
            flush=True,
        )
    if (reason := _refusal(chosen.host, chosen.port)) is not None:
        sys.exit(f"cannot listen on {chosen.host} port {chosen.port}: {reason}; choose another with --port")
    print(f"Boundary Atlas: {address(chosen.host, chosen.port)}", flush=True)

    sys.path.insert(0, str(CHECKOUT))  # `core` and `dashboard` of this checkout, before any other package of that name
    from streamlit.web import cli

    flags = streamlit_flags(chosen.host, chosen.port, headless=chosen.headless, hosts=chosen.allow_host)
    cli.main(["run", str(APP), *flags], prog_name="streamlit")


def streamlit_flags(host: str, port: int, *, headless: bool = False, hosts: Sequence[str] = ()) -> list[str]:
    """Every option of Streamlit that is not left to chance.

    Args:
        host: the address to listen on.
        port: the port to listen on.
        headless: open no browser; when False, Streamlit opens one where there is a screen.
        hosts: further names under which browsers may call this server, such as a proxy's.

    Returns:
        `--section.option=value`, one for each option, but for `server.allowedHosts`, which has one for each name.
    """
    options = dict(_options(tomllib.loads(CONFIG.read_text(encoding="utf-8"))))
    options |= SAFETY
    options |= {"server.address": host, "server.port": str(port), "logger.hideWelcomeMessage": "true"}
    if headless:
        options["server.headless"] = "true"
    flags = [f"--{name}={value}" for name, value in options.items()]
    if is_loopback(host) or hosts:  # a page elsewhere whose name is rebound to this address is turned away
        names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1", *hosts))
        flags += [f"--server.allowedHosts={name}" for name in names]
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
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.port <= 65535:
        parser.error(f"expected a port from 1 to 65535, got {chosen.port}")
    if chosen.threads is not None and chosen.threads < 1:
        parser.error(f"expected at least one thread, got {chosen.threads}")
    return chosen


def _refusal(host: str, port: int) -> str | None:
    """Why nothing can listen there now, or None."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _options(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a configuration file as Streamlit reads them from flags: ("theme.light.textColor", "#23262d")."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
