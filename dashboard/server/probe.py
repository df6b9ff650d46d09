"""Check the health of a dashboard, for supervisors: `python -m dashboard.server.probe [--port 8501] [--stop PID]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

_PATIENCE = 10.0  # seconds for one answer: the server may be computing
_TIMES = 3  # requests without an answer before it is unhealthy
_PAUSE = 2.0  # seconds between requests
_STARTING = 60.0  # seconds after the start without an answer that are normal


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print the answer, and end a process that asks for a restart if --stop names it.

    Args:
        arguments: the command line, `sys.argv[1:]` when None.

    Returns:
        0 if it is healthy, otherwise 1.
    """
    parser = argparse.ArgumentParser(prog="python -m dashboard.server.probe", description="Ask a dashboard how it is.")
    parser.add_argument("--port", type=int, default=8501, help="where it listens on this machine (default: 8501)")
    parser.add_argument("--stop", type=int, metavar="PID", help="its process, ended where it should be restarted")
    chosen = parser.parse_args(arguments)
    well, answered, line = ask(chosen.port)
    print(line)
    if not well and chosen.stop and (answered or _long_enough(chosen.stop)):
        os.kill(chosen.stop, signal.SIGTERM)
    return 0 if well else 1


def ask(port: int) -> tuple[bool, bool, str]:
    """Whether a dashboard is healthy, whether it answered, and its answer in one line."""
    line = "it does not answer"
    for left in range(_TIMES - 1, -1, -1):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_PATIENCE) as answer:
                return True, True, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                answer = json.loads(error.read())
            return False, True, f"to be restarted: {'; '.join(answer.get('restart', ())) or 'it does not say why'}"
        except OSError as error:
            line = f"it does not answer: {error}"
            time.sleep(_PAUSE if left else 0)
    return False, False, line


def _long_enough(process: int) -> bool:
    """Whether a process has run for a minute: before, it may still be starting."""
    try:
        began = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])  # in ticks since the boot
        now = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return False
    return now - began / os.sysconf("SC_CLK_TCK") > _STARTING


if __name__ == "__main__":
    sys.exit(main())
