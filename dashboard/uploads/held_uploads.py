"""Uploaded files in memory, and those that were refused before they were here.

Streamlit says in its uploader alone why a file did not arrive; a page that empties the uploader asks here.
"""

from __future__ import annotations

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.images.archives import Refused

_MOST_SAID = 100  # refused files of a session that are remembered


class HeldUploads(MemoryUploadedFileManager):
    """Uploaded files in memory, which can be counted, and what was refused."""

    def __init__(self, upload_endpoint: str) -> None:
        super().__init__(upload_endpoint)
        self._refused: dict[str, list[Refused]] = {}

    def of(self, session: str) -> tuple[int, int]:
        """How many files a session has here, and their bytes."""
        with self._lock:
            sizes = [len(file.data) for file in self.file_storage.get(session, {}).values()]
        return len(sizes), sum(sizes)

    @property
    def bytes(self) -> int:
        """What all sessions have here, in bytes."""
        with self._lock:
            return sum(len(file.data) for files in self.file_storage.values() for file in files.values())

    def refuse(self, session: str, file: Refused) -> None:
        """Remember a file of a session that is not taken."""
        with self._lock:
            kept = self._refused.setdefault(session, [])
            kept[:] = [*kept, file][-_MOST_SAID:]

    def take_refused(self, session: str) -> list[Refused]:
        """The files of a session that were not taken, since this was last asked."""
        with self._lock:
            return self._refused.pop(session, [])

    def remove_session_files(self, session_id: str) -> None:
        """Forget a session."""
        super().remove_session_files(session_id)
        self.take_refused(session_id)


def refused_uploads() -> list[Refused]:
    """The files that this session sent and that were not taken, since this was last asked."""
    context = get_script_run_ctx()
    held = context.uploaded_file_mgr if context is not None else None
    return held.take_refused(context.session_id) if context is not None and isinstance(held, HeldUploads) else []
