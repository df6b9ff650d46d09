"""Downloads: weights that a library fetches from its server, or finds in its folder of what it fetched before.

The libraries show on standard error how far they are: bytes so far and in all, their share, the rate and the time left
(torch always, the hub's client on a terminal). What goes wrong on the way is told in one sentence.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from core.errors import CheckpointError

T = TypeVar("T")


def fetched(name: str, fetch: Callable[[], T]) -> T:
    """What a library fetches from its server or finds in its folder.

    Args:
        name: what it is, for the sentence.
        fetch: asks the library.

    Returns:
        What it gives.

    Raises:
        CheckpointError: if it cannot be reached, is damaged on the way, or has nothing of that name.
    """
    try:
        with warnings.catch_warnings(), _quick_where_offline():
            warnings.simplefilter("ignore")
            return fetch()
    except Exception as error:  # of urllib, requests, httpx, the hub's client and the file system
        reason = " ".join(str(error).split())[:120].rstrip(" .")
        raise CheckpointError(
            f"expected to fetch {name[:60]}, got {type(error).__name__}: {reason}; look at the network and the name, "
            "or fetch the weights elsewhere and name the file"
        ) from error


@contextmanager
def _quick_where_offline() -> Iterator[None]:
    """Where the hub's name is not even known, let its client look in its folder only: it would try for a minute."""
    from huggingface_hub import constants

    known = bool(getproxies())
    if not known:
        hub = urlsplit(constants.ENDPOINT)  # HF_ENDPOINT may name a mirror
        with suppress(OSError):
            known = bool(socket.getaddrinfo(hub.hostname, hub.port or 443))
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not known
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
