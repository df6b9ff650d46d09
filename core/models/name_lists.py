"""Lists of class names in files: one name per line, or a JSON list, or a JSON mapping from class numbers.

Nothing here imports torch: it runs in `core.runtime.sandbox`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from core import wording
from core.errors import CheckpointError
from core.files import read_start
from core.sources.models import MOST_CLASSES

MOST_BYTES = 8 << 20


def read(progress: Callable[[float], None], path: str) -> list[str]:
    """Read class names from a file.

    Args:
        progress: not called: a list is read at once.
        path: of the file.

    Returns:
        At least two names.

    Raises:
        CheckpointError: if it does not hold such a list.
    """
    name = Path(path).name[:80]
    content = read_start(path, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise CheckpointError(f"expected a list of class names, {name} is too long; one name per line")
    try:
        text = content.decode("utf-8-sig")
        if text.lstrip().startswith(("[", "{")):
            found = json.loads(text)
            values = [found[key] for key in sorted(found, key=int)] if isinstance(found, dict) else found
            names = [str(value[-1] if isinstance(value, list) else value) for value in values]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise CheckpointError(f"expected class names, cannot read {name}; write one name per line") from error
    if not 2 <= len(names) <= MOST_CLASSES or not all(map(wording.name, names)):
        raise CheckpointError(f"expected 2 class names or more, {name} has {len(names)}; write one per line")
    return list(wording.names(names, "class"))
