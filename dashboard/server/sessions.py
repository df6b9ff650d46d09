"""Sessions whose browser has disconnected, which end after a fixed time.

Streamlit keeps a session for a while after its connection is lost, so that a returning browser finds its page as it
was. By default it forgets such sessions only when the next one is lost, and ends them only when their memory is
collected; until then each holds an event loop, which is three descriptors, and everything that its page had in memory.
Here a timer ends them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from streamlit.runtime.session_manager import SessionInfo, SessionStorage

from dashboard.uploads.held_uploads import HeldUploads


class LostSessions(SessionStorage):
    """Sessions without a browser, for as long as one may return.

    Their uploads are deleted at once, as pages say.

    Args:
        uploads: the uploaded files.
        seconds: how long a browser may stay away.
        most: sessions at once; the oldest ends first.
        clock: the time in seconds.
    """

    def __init__(
        self, uploads: HeldUploads, seconds: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._uploads = uploads
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lost: OrderedDict[str, tuple[SessionInfo, float]] = OrderedDict()  # with the time of its end
        self._lock = threading.Lock()  # counted on other threads

    def __len__(self) -> int:
        with self._lock:
            return len(self._lost)

    def get(self, session_id: str) -> SessionInfo | None:
        """The session of this name; None if there is none, or its time is over."""
        with self._lock:
            found = self._lost.get(session_id)
        return found[0] if found is not None and self._clock() < found[1] else None

    def save(self, session_info: SessionInfo) -> None:
        """Keep a session whose browser has disconnected."""
        session = session_info.session.id
        self._uploads.remove_session_files(session)
        with self._lock:
            self._lost.pop(session, None)
            self._lost[session] = session_info, self._clock() + self._seconds
        self.end_old()

    def delete(self, session_id: str) -> None:
        """Forget a session without ending it, because its browser is back."""
        with self._lock:
            self._lost.pop(session_id, None)

    def list(self) -> list[SessionInfo]:
        """Every session that is kept."""
        with self._lock:
            return [session for session, _ in self._lost.values()]

    def end_old(self) -> None:
        """End sessions whose time is over or that are too many; call on the thread of the server's event loop."""
        ended = []
        with self._lock:
            while self._lost:
                first, until = next(iter(self._lost.values()))
                if self._clock() < until and len(self._lost) <= self._most:
                    break
                self._lost.popitem(last=False)
                ended.append(first)
        for each in ended:
            each.session.shutdown()  # closes its event loop, at once or when its script has ended
