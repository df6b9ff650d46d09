"""Downloads: weights that a library fetches from its server, or finds in its cache.

The libraries show their progress on standard error: bytes so far and in all, their share, the rate and the time left
(torch always, the hub's client on a terminal). Failures are reported in one sentence.
"""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from core.errors import CheckpointError, one_line

T = TypeVar("T")

_HASHED = re.compile(r"-([a-f0-9]{8,})\.")  # the hash that torch writes into a file's name


def fetched(name: str, fetch: Callable[[], T]) -> T:
    """What a library fetches from its server or finds in its cache.

    Args:
        name: of the weights, for the error message.
        fetch: calls the library.

    Returns:
        The result of `fetch`.

    Raises:
        CheckpointError: if the server cannot be reached, has nothing of that name, or the data arrive damaged.
    """
    try:
        with warnings.catch_warnings(action="ignore"), _quick_where_offline():
            return fetch()
    except Exception as error:  # of urllib, requests, httpx, the hub's client and the file system
        raise CheckpointError(
            f"expected to fetch {name[:60]}, got {type(error).__name__}: "
            f"{one_line(error)[:120].rstrip(' .')}; look at the network and the name, or "
            "fetch the weights elsewhere and name the file"
        ) from error


@contextmanager
def _quick_where_offline() -> Iterator[None]:
    """If the hub's name cannot be resolved, let its client look only in its cache: it would try for a minute."""
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


def file_at(name: str, url: str, file: str = "") -> Path:
    """Download a file to torch's cache, or find it there; a hash in its name is checked.

    Args:
        name: of the weights, for the error message.
        url: its address.
        file: its name on this machine; by default that of the address.

    Returns:
        Its path on this machine.

    Raises:
        CheckpointError: if it cannot be fetched, or has another hash.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / (file or PurePosixPath(urlsplit(url).path).name)
    if not path.is_file():
        hashed = _HASHED.search(path.name)
        folder.mkdir(parents=True, exist_ok=True)
        fetched(name, lambda: torch.hub.download_url_to_file(url, str(path), hashed[1] if hashed else None))
    return path


def file_of_hub(name: str, repository: str, files: Sequence[str], revision: str | None = None) -> Path:
    """Download the first of some files that a repository of the hub has, or find it in the hub's cache.

    Args:
        name: of the weights, for the error message.
        repository: owner and name.
        files: names of the files, the preferred one first.
        revision: a commit, branch or tag; by default the newest.

    Returns:
        Its path on this machine.

    Raises:
        CheckpointError: if none can be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    def fetch() -> str:
        for file in files[:-1]:
            with suppress(EntryNotFoundError):
                return str(hf_hub_download(repository, file, revision=revision))
        return str(hf_hub_download(repository, files[-1], revision=revision))

    return Path(fetched(name, fetch))
