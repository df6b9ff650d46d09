"""Sequences of images on a map: the path of a corruption, an attack or a walk, or the plane of a slice as a net.

Each image is placed as a new one is (`core.geometry.maps.transform`), so a path shows near which images of the map it
comes, step by step, not where it lies in the space. A straight line of images becomes jumps from group to group: a step
of more than three times the median step, and of more than a twentieth of the map's radius, is a jump, and no line is
drawn along it. Steps far from all images of the map are drawn where they are least out of place; their `ratio` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.maps.maps import EmbeddingMap, Placer
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.cost import counted, spent

_JUMP = 3.0  # median steps
_LEAST_JUMP = 0.05  # of the map's radius: shorter steps are none, however still the path stands otherwise


@dataclass(frozen=True, kw_only=True, eq=False)
class MapPaths(ClassifierResult):
    """Paths of images on a map; NaN behind the end of a shorter one."""

    positions: np.ndarray = quantity("map", "path step axis")
    ratio: np.ndarray = quantity("", "path step")  # distance to the neighbours over what is typical
    predicted: np.ndarray = quantity("", "path step")  # class, -1 behind the end
    jumps: np.ndarray = quantity("", "path step")  # whether the step that leads here is a jump
    names: tuple[str, ...] = quantity("")  # of the paths
    kind: str = quantity("", default="")
    home: np.ndarray = quantity("map", "image axis")  # the images of the map
    home_predicted: np.ndarray = quantity("", "image")
    home_row: np.ndarray = quantity("", "image")

    def pieces(self) -> tuple[np.ndarray, ...]:
        """The paths as lines (points, 2), cut at jumps; a place that no line reaches is left out."""
        lines = []
        for positions, jumps in zip(self.positions, self.jumps, strict=True):
            known = positions[np.isfinite(positions[:, 0])]
            lines += [piece for piece in np.split(known, np.flatnonzero(jumps[: len(known)])) if len(piece) > 1]
        return tuple(lines)

    def leaps(self) -> tuple[np.ndarray, ...]:
        """The jumps, as lines of two points."""
        path, step = np.nonzero(self.jumps)
        return tuple(np.stack([self.positions[path, step - 1], self.positions[path, step]], 1))

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Steps and jumps of each path."""
        for index, label in enumerate(self.names):
            ratio = self.ratio[index]
            yield Number(name=f"steps, {label}", value=float((self.predicted[index] >= 0).sum()))
            yield Number(name=f"jumps, {label}", value=float(self.jumps[index].sum()))
            if np.isfinite(ratio).any():
                yield Number(name=f"largest distance over a typical one, {label}", value=float(np.nanmax(ratio)))


@counted
def map_paths(
    classifier: Classifier,
    found: EmbeddingMap,
    paths: Sequence[Float[Tensor, "_ c h w"]],
    *,
    names: Sequence[str] = (),
    kind: str = "",
    tick: Callable[[float], None] = lambda part: None,
) -> MapPaths:
    """Place sequences of images on a map.

    Args:
        classifier: the classifier of the map.
        found: the map.
        paths: sequences of images, of any lengths above 0.
        names: names of the paths; none or one each.
        kind: kind of the paths, in a word.
        tick: called with the fraction done.

    Returns:
        Their places, and which of the steps between them are jumps. An image that occurs more than once is placed once.

    Raises:
        ValueError: if there is no path, one is empty, or the names are not one each.
        ImageError: if the shape is not the classifier's or a value is not finite.
    """
    if not paths or not all(len(path) for path in paths) or len(names) not in (0, len(paths)):
        raise ValueError(f"expected at least one path, each with an image and a name, got {len(paths)}; add images")
    sizes = [len(path) for path in paths]
    every, back = torch.unique(torch.cat([path.flatten(1).cpu() for path in paths]), dim=0, return_inverse=True)
    placed = Placer(found, classifier)(every.view(-1, *paths[0].shape[1:]), tick)
    longest = max(sizes)
    positions, ratio = np.full((len(paths), longest, 2), np.nan), np.full((len(paths), longest), np.nan)
    predicted = np.full((len(paths), longest), -1, np.int32)
    ends = np.cumsum([0, *sizes])
    for number, size in enumerate(sizes):
        taken = back[ends[number] : ends[number + 1]].numpy()
        positions[number, :size], ratio[number, :size] = placed.positions[taken], placed.ratio[taken]
        predicted[number, :size] = placed.predicted[taken]
    return MapPaths(
        positions=positions,
        ratio=ratio,
        predicted=predicted,
        jumps=_jumps(positions, found.radius),
        names=tuple(names) or ("",) * len(paths),
        kind=kind,
        home=found.positions,
        home_predicted=found.predicted,
        home_row=found.row,
        num_classes=found.num_classes,
        fingerprint=found.fingerprint,
        **spent(),
    )


def _jumps(positions: np.ndarray, radius: float) -> np.ndarray:
    jumps = np.zeros(positions.shape[:2], bool)
    steps = np.linalg.norm(np.diff(positions, axis=1), axis=2)
    moved = steps[np.isfinite(steps) & (steps > 0)]
    if len(moved):
        jumps[:, 1:] = steps > max(_JUMP * float(np.median(moved)), _LEAST_JUMP * radius)
    return jumps
