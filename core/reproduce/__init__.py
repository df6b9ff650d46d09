"""What the papers claim, tested on the demo models: each claim with its numbers, controls and a plain verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from core.reproduce.report import Claim as Claim
from core.reproduce.report import Evidence as Evidence

TABLE = {
    "curvature": "curved boundaries: flatness, asymmetry, shared directions, the detector, connected regions",
    "limits": "limits on every classifier: exponents of the theorems, exact counts, and what searches find on noise",
    "margins": "margins by frequency: what training, adversaries, data and PRIME do to them",
    "level-sets": "level sets: whether walks reach blind spots, whether these lie in a star, and what training changes",
    "local": "local properties: isotropy, symmetry, topology and steepness, each beside linear maps",
    "sparse": "sparse perturbations: few pixels suffice, they are shared in part, and they transfer to some degree",
}


def claims_about(topic: str) -> Callable[..., Iterator[Claim]]:
    """The function that tests the claims of a topic.

    Args:
        topic: a name of `TABLE`; its module is called the same.

    Returns:
        A function of (models, device, on_progress), with `models` the names of the demo models to test them on, that
        yields each claim as soon as its numbers are there.

    Raises:
        ValueError: if no topic is called so.
    """
    if topic not in TABLE:
        raise ValueError(f"expected a topic out of {', '.join(TABLE)}, got {topic!r}")
    found: Callable[..., Iterator[Claim]] = import_module(f"core.reproduce.{topic.replace('-', '_')}").claims
    return found
