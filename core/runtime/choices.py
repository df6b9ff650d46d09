"""Choices that are measured once on this machine and kept on disk.

Another batch shape or method of differentiation rounds differently: a choice is kept, so that a figure made twice is
the same figure.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch

from core.files import atomic_write, cache_folder

logger = logging.getLogger(__name__)


class MeasuredChoices:
    """A JSON file of choices by name; if it is damaged or cannot be written, choices are measured again.

    Args:
        name: of the file in the cache folder.
        path: another place for the file.
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self._name = name
        self._path = path

    @property
    def path(self) -> Path:
        """The file."""
        return self._path or cache_folder() / self._name

    def read(self) -> dict[str, object]:
        """All choices by name."""
        try:
            stored = json.loads(self.path.read_text())
        except (OSError, ValueError):  # none yet, unreadable or damaged
            return {}
        return stored if isinstance(stored, dict) else {}

    def put(self, name: str, choice: int | str) -> None:
        """Keep a choice."""
        try:
            with atomic_write(self.path, private=self.path.parent) as file:
                file.write_text(json.dumps({**self.read(), name: choice}, indent=1, sort_keys=True))
        except OSError as error:
            logger.warning("a measured choice could not be kept: %s", error)


def machine(device: torch.device) -> str:
    """What the best choice depends on besides the classifier: device, chip or number of threads, version of torch."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{device.type}/{chip}/torch {torch.__version__}"
