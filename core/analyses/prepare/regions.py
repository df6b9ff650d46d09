"""From the words of a recipe to one path inside a region, with all that a figure shows of it.

The start is the first chosen image, or the point of a plane where a slice was picked. The end is another image of the
set, or a twin: an image, or noise, moved until the model gives it the class of the start
(`core.geometry.boundary.relabel`).

Paths lie in thousands of dimensions. The picture of one is its projection onto the plane through the start along the
straight segment and, at right angles to it, along the direction in which its corners spread most.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.geometry.boundary.relabel import relabel
from core.geometry.common.sampling import stratified
from core.geometry.regions.at_image import PathAtImage
from core.geometry.regions.connect import RegionPaths, connect
from core.geometry.regions.region_graph import RegionGraph, region_graph
from core.models.classifier import Classifier
from core.runtime.progress import part_of

End = Literal["relabelled", "image", "nearest", "noise"]
FRAMES = 7  # of a film strip
_POINTS = 129  # of a margin trace


def path(inputs: Inputs, *, end: End, step: float, search: int, seed: int) -> PathAtImage:
    """The path inside the region of the start.

    Args:
        inputs: models and images.
        end: "image" for the second chosen image, "relabelled" for its twin of the start's class, "nearest" for the
            nearest image of the set of that class, "noise" for a twin of uniform noise.
        step: see `core.geometry.regions.connect.connect`.
        search: see there.
        seed: of the noise, and see there.

    Returns:
        The path.

    Raises:
        ValueError: if the set has no other image of the start's class.
    """
    classifier, begun = inputs.classifier, inputs.start
    start = classifier.accept(begun.image[None])
    own = int(classifier.predict(start).label[0])
    target = _end(inputs, start, own, end, seed)
    found = connect(
        classifier, start, target.image, step=step, search=search, seed=seed, on_progress=inputs.on_progress
    )
    shown = _Shown(classifier, found, start, target.image, max(own, 0))
    nearest = target.nearest
    if found.status[0] == "other class" and nearest < 0:
        nearest = _nearest(inputs, start, own)
    return PathAtImage.extended(
        found,
        **shown.arrays(),
        moved=target.moved,
        nearest_row=nearest,
        words=begun.words if begun.picked else f"{begun.words}, row {inputs.rows[0]}",
        end_words=target.words,
    )


class _PathEnd(NamedTuple):
    """The end of a path, and how a figure calls it."""

    image: Tensor
    words: str
    moved: float
    nearest: int


def _end(inputs: Inputs, start: Tensor, own: int, end: End, seed: int) -> _PathEnd:
    """The end that was asked for."""
    classifier, images, rows = inputs.classifier, inputs.images, inputs.rows
    if end == "nearest":
        row = _nearest(inputs, start, own)
        if row < 0:
            raise ValueError("expected another image of the start's class in the set, found none; choose another end")
        chosen = images[[row]]
        return _PathEnd(classifier.accept(chosen.pixels), f"{chosen.words[0]}, row {row}", 0.0, row)
    if end == "noise":
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(tuple(start.shape), generator=generator, dtype=torch.float64)
        image, words = classifier.accept(image), "noise"
    else:
        other = rows[min(1, len(rows) - 1)]
        chosen = images[[other]]
        image, words = classifier.accept(chosen.pixels), f"{chosen.words[0]}, row {other}"
    if end == "image" or own < 0:
        return _PathEnd(image, words, 0.0, -1)
    twin = relabel(classifier, image, torch.tensor([own]))
    if not twin.found[0]:
        return _PathEnd(image, words, float("nan"), -1)
    moved = float(twin.distance[0])
    words = f"relabelled {words}" if moved else words
    return _PathEnd(classifier.accept(twin.images), words, moved, -1)


def _nearest(inputs: Inputs, start: Tensor, own: int) -> int:
    """The row of the nearest other image that the model gives this class; -1 where there is none."""
    images = inputs.images
    alike = inputs.classifier.predict(images.pixels).label == own
    if not inputs.start.picked:
        alike[inputs.rows[0]] = False
    candidates = np.flatnonzero(alike)
    if own < 0 or not len(candidates):
        return -1
    far = (images.pixels[candidates].to(start) - start).flatten(1).norm(dim=1)
    return int(candidates[int(far.argmin())])


class _Shown:
    """What a figure shows of a path: computed here, so that figures only draw."""

    def __init__(self, classifier: Classifier, found: RegionPaths, start: Tensor, end: Tensor, own: int) -> None:
        self._path = torch.from_numpy(found.anchors).to(start.device, torch.float64).flatten(1)
        self._found = bool(found.found[0])
        self._straight = torch.stack([start[0], end[0]]).double().flatten(1)
        self._shape, self._own = start.shape[1:], own
        self._classifier = classifier

    def arrays(self) -> dict[str, Any]:
        """All that `PathAtImage` adds of them."""
        straight = torch.linspace(0, 1, _POINTS, dtype=torch.float64)
        length = float((self._straight[1] - self._straight[0]).norm())
        corners = self._along(self._path) if self._found else torch.zeros(2, dtype=torch.float64)
        far = float(corners[-1])
        places = torch.cat([far * straight, corners]).unique() if self._found else corners[:0]
        frames = far * torch.linspace(0, 1, FRAMES, dtype=torch.float64) if self._found else corners[:0]
        strip, beside = self._at(self._path, frames), self._at(self._straight, torch.linspace(0, length, FRAMES))
        margin, _ = self._margin_and_class(self._at(self._path, places))
        frame_margin, _ = self._margin_and_class(strip)
        straight_margin, _ = self._margin_and_class(self._at(self._straight, length * straight))
        _, straight_class = self._margin_and_class(beside)
        projection, share = self._projection()
        out = self._path - self._path.clamp(0, 1)
        return {
            "frames": self._images(strip),
            "frame_margin": frame_margin,
            "straight_frames": self._images(beside),
            "straight_class": straight_class,
            "at": places.numpy(),
            "margin": margin,
            "straight_at": (length * straight).numpy(),
            "straight_margin": straight_margin,
            "corner_at": corners.numpy(),
            "projection": projection,
            "projection_share": share,
            "outside": float(out.norm(dim=1).max()),
        }

    def _along(self, path: Tensor) -> Tensor:
        """How far along the path each vertex lies."""
        legs = (path[1:] - path[:-1]).norm(dim=1).cpu()
        return torch.cat([torch.zeros(1, dtype=torch.float64), legs.cumsum(0)])

    def _at(self, path: Tensor, places: Tensor) -> Tensor:
        """Points of a path at these distances along it."""
        corners = self._along(path)
        leg = torch.searchsorted(corners, places.double().contiguous(), right=True).sub(1).clamp(0, len(path) - 2)
        share = (places - corners[leg]) / (corners[leg + 1] - corners[leg]).clamp(min=1e-300)
        leg = leg.to(path.device)
        return torch.lerp(path[leg], path[leg + 1], share.clamp(0, 1).to(path)[:, None])

    def _margin_and_class(self, points: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The margin of the start's class, and the class that the model gives."""
        if not len(points):
            return np.empty(0), np.empty(0, np.int32)
        batches = self._classifier.batches()
        with torch.inference_mode():
            pixels = points.to(self._classifier.dtype).view(-1, *self._shape)
            logits = batches(self._classifier, pixels).double()
        other = logits.clone()
        other[:, self._own] = -torch.inf
        known = torch.isfinite(logits).all(1)
        margin = (logits[:, self._own] - other.amax(1)).where(known, torch.nan)
        return margin.cpu().numpy(), logits.argmax(1).where(known, -1).to(torch.int32).cpu().numpy()

    def _images(self, points: Tensor) -> np.ndarray:
        pixels: np.ndarray = points.float().view(-1, *self._shape).cpu().numpy()
        return pixels

    def _projection(self) -> tuple[np.ndarray, float]:
        """Vertices along the straight segment and across it, and how much of what lies across is shown."""
        offset = self._path - self._straight[0]
        way = self._straight[1] - self._straight[0]
        unit = way / way.norm().clamp(min=1e-300)
        along = offset @ unit
        across = offset - along[:, None] * unit
        total = float(across.square().sum())
        if total < 1e-18 * max(1.0, float(way.square().sum())):
            return np.stack([along.cpu().numpy(), np.zeros(len(along))], 1), 1.0
        _, _, directions = torch.linalg.svd(across, full_matrices=False)
        up = across @ directions[0]
        up = up * torch.sign(up[up.abs().argmax()])
        return torch.stack([along, up], 1).cpu().numpy(), float(up.square().sum()) / total


# -- many images ------------------------------------------------------------------------------------------------------


def graph(inputs: Inputs, *, among: str, of_class: int, count: int, step: float, search: int, seed: int) -> RegionGraph:
    """The component graph of images of one class or of all classes.

    Args:
        inputs: models and images; the reference's predictions choose the images.
        among: "one class" for images that the model gives one class, "all classes" for as many of each.
        of_class: that class; -1 for the one of the first chosen image.
        count: images drawn from the set at random, at most.
        step: see `core.geometry.regions.connect.connect`.
        search: see there.
        seed: of the draw, and see there.

    Returns:
        The graph; its images are sorted by class.

    Raises:
        ValueError: if the model gives fewer than two images the class.
    """
    images, rows = inputs.images, inputs.rows
    predicted = inputs.reference.predict(images.pixels).label
    own = of_class if of_class >= 0 else int(predicted[rows[0]])
    chosen = stratified(np.where(predicted == own, predicted, -1) if among == "one class" else predicted, count, seed)
    chosen = chosen[np.argsort(predicted[chosen], kind="stable")]
    if len(chosen) < 2:
        raise ValueError(
            f"expected two or more images that the model gives the class, found {len(chosen)}; choose another image, or"
            " all classes"
        )

    def named(graph: RegionGraph) -> RegionGraph:
        return replace(graph, row=chosen.astype(np.int32))

    pixels, report = images[chosen.tolist()].pixels, part_of(inputs.on_progress, 0.0, 1.0, named)
    return named(region_graph(inputs.classifier, pixels, step=step, search=search, seed=seed, on_progress=report))
