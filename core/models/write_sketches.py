"""Write the sketches of every architecture of the registries; see `core.models.sketches`."""

from __future__ import annotations

import base64
import json

from core.files import atomic_write
from core.models.sketches import SKETCHES, sketch


def write_sketches() -> int:
    """Write `assets/architectures.json`, in a few minutes; return the number of architectures in it."""
    import timm
    import torchvision

    from core.models.registries import PROBE_CLASSES, architectures, template

    stored = {}
    for name in architectures():
        try:
            shapes = template(name)
        except (RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError, ImportError) as error:
            print(f"{name} cannot be built without memory: {error}")  # it can still be chosen by its name
            continue
        body = {key: shape for key, shape in shapes.items() if shape[:1] != (PROBE_CLASSES,)}
        stored[name] = base64.b64encode(sketch(body).astype("<u2").tobytes()).decode()
    versions = {"torchvision": torchvision.__version__, "timm": timm.__version__}
    with atomic_write(SKETCHES) as file:
        file.write_text(json.dumps({**versions, "sketches": stored}, indent=0) + "\n", encoding="utf-8")
    return len(stored)


if __name__ == "__main__":
    print(f"{write_sketches()} architectures")
