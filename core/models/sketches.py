"""Sketches: a few numbers per architecture, by which architectures with nearly the same tensors are found.

MinHash: each of several hash functions keeps its smallest value over a set; two sets keep the same value with a
probability equal to the share of their common elements. One part of a sketch covers tensors by name and shape, the
other names without their numbers, which networks of one family share at any depth and width.
`assets/architectures.json` holds the sketches of all architectures; `python -m core.models.write_sketches` writes it
again for the installed versions.

Reference:
    Broder, On the resemblance and containment of documents, SEQUENCES 1997.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping

import numpy as np

from core.sources.models import ASSETS

SKETCHES = ASSETS / "architectures.json"
EXACT, LOOSE = 24, 8  # values per sketch: for names with shapes, and for names without numbers
_LOOSE_WEIGHT = 0.5  # names alone are weaker evidence


def likeness(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[str, ...], np.ndarray]:
    """The similarity of weights to every architecture that has a sketch.

    Args:
        shapes: shape by name, without wrapping prefixes.

    Returns:
        Names, and for each the estimated share of common tensors plus half that of common names; 0 to 1.5.
    """
    names, sketches = _stored()
    alike = (sketches == sketch(shapes)[None]).astype(float)
    return names, alike[:, :EXACT].mean(1) + _LOOSE_WEIGHT * alike[:, EXACT:].mean(1)


@functools.cache
def _factors() -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and offsets of the hash functions, one pair per value of a sketch."""
    drawn = np.random.default_rng(0).integers(0, 2**63, (2, EXACT + LOOSE), dtype=np.uint64)
    return drawn[0] * np.uint64(2) + np.uint64(1), drawn[1]


def sketch(shapes: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    """The sketch of a set of weights: two sketches agree in about the share of their common tensors; uint16."""
    exact = {f"{name} {' x '.join(map(str, shape)) or 'one number'}" for name, shape in shapes.items()}
    loose = {re.sub(r"\d+", "#", name) for name in shapes}
    factors, offsets = _factors()
    parts = []
    for words, columns in ((exact, slice(0, EXACT)), (loose, slice(EXACT, None))):
        digests = [hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest() for word in words]
        hashed = np.frombuffer(b"".join(digests), np.uint64)
        mixed = (hashed[:, None] * factors[columns] + offsets[columns]) >> np.uint64(16)
        parts.append((mixed.min(0) if len(mixed) else np.zeros(mixed.shape[1], np.uint64)) & np.uint64(0xFFFF))
    return np.concatenate(parts).astype(np.uint16)


@functools.cache
def _stored() -> tuple[tuple[str, ...], np.ndarray]:
    stored = json.loads(SKETCHES.read_text(encoding="utf-8"))["sketches"]
    rows = [np.frombuffer(base64.b64decode(text), "<u2") for text in stored.values()]
    return tuple(stored), np.stack(rows)
