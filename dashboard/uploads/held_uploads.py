"""Uploaded files in memory, and the files that the server refused.

Streamlit shows only in its uploader why a file did not arrive; a page that empties the uploader asks here.
"""

from __future__ import annotations

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.images.archives import Refused

_MOST_SAID = 100  # refused files remembered for a session


class HeldUploads(MemoryUploadedFileManager):
    """Uploaded files in memory, with counts, and the refused files."""

    def __init__(self, upload_endpoint: str) -> None:
        super().__init__(upload_endpoint)
        self._refused: dict[str, list[Refused]] = {}

    def of(self, session: str) -> tuple[int, int]:
        """The number of a session's files, and their bytes."""
        with self._lock:
            sizes = [len(file.data) for file in self.file_storage.get(session, {}).values()]
        return len(sizes), sum(sizes)

    @property
    def bytes(self) -> int:
        """Bytes of the files of all sessions."""
        with self._lock:
            return sum(len(file.data) for files in self.file_storage.values() for file in files.values())

    def refuse(self, session: str, file: Refused) -> None:
        """Remember a refused file of a session."""
        with self._lock:
            kept = self._refused.setdefault(session, [])
            kept[:] = [*kept, file][-_MOST_SAID:]

    def take_refused(self, session: str) -> list[Refused]:
        """The files of a session refused since the last call."""
        with self._lock:
            return self._refused.pop(session, [])

    def remove_session_files(self, session_id: str) -> None:
        """Forget a session."""
        super().remove_session_files(session_id)
        self.take_refused(session_id)


def refused_uploads() -> list[Refused]:
    """The files of this session refused since the last call."""
    context = get_script_run_ctx()
    held = context.uploaded_file_mgr if context is not None else None
    return held.take_refused(context.session_id) if context is not None and isinstance(held, HeldUploads) else []
