"""Downloads: weights that a library fetches from its server, or finds in its folder of what it fetched before.

The libraries show on standard error how far they are: bytes so far and in all, their share, the rate and the time left
(torch always, the hub's client on a terminal). What goes wrong is reported in one sentence.
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

_HASHED = re.compile(r"-([a-f0-9]{8,})\.")  # as torch writes the hash of a file into its name


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
        raise CheckpointError(
            f"expected to fetch {name[:60]}, got {type(error).__name__}: "
            f"{one_line(error)[:120].rstrip(' .')}; look at the network and the name, or "
            "fetch the weights elsewhere and name the file"
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


def file_at(name: str, url: str, file: str = "") -> Path:
    """The file at an address, in torch's folder of what it fetched before; its name may hold the hash it must have.

    Args:
        name: what it is, for the sentence.
        url: where it is.
        file: what it is called here; as there where it is not given.

    Returns:
        Where it lies on this machine.

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
    """The first of some files that a repository of the hub has, in the hub's folder of what was fetched before.

    Args:
        name: what it is, for the sentence.
        repository: owner and name.
        files: their names, the preferred one first.
        revision: a commit, branch or tag; the newest where none is given.

    Returns:
        Where it lies on this machine.

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
