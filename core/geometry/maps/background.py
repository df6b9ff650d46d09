"""The classifier's predictions between the images of a map, and how reliable they are.

A place y on the map stands for no image. It is given a vector of the map's space: the mean of the vectors of the k
images nearest to y on the map, weighted by 1 / |y - y_i|². Of features, the head of the network says which class that
is; of pixels, the network itself. Then the vector is placed on the map as a new image would be, and the *round trip*
is the distance from y at which it arrives. Where that is long, or no image lies near, the colour says nothing about y.

The background shows one curved two-dimensional sheet through the space: its lines are cuts of the boundary, not the
boundary, and may run where no image lies. *Background agreement* is the share of images whose class is that of the
sheet at their own place, made without them.

References: Wang, Telea, Fundamental limitations of inverse projections and decision maps, IVAPP 2024; Shepard, A
two-dimensional interpolation function for irregularly-spaced data, ACM National Conference 1968.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.geometry.maps.maps import EmbeddingMap, Placer, prediction
from core.models.classifier import Classifier
from core.result import Context, Number, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "measured": "The round trip of every place was measured.",
        "not measured": "The round trip was not measured: the divergence would take forwards for every pair.",
        "no head": "Something passes by this layer, so its values do not say a class: there is no background.",
    }
)

_NEAREST = 8  # images that a place is mixed from
_STEPS = 30  # of each round trip: with 100 the median is the same in three digits
_MARGIN = 0.08  # around the map, of its size
_BELIEVED = 0.25  # of the map's radius: a round trip, or a gap, as long as that is not believed at all


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionMap(EmbeddingMap):
    """A map of images with predictions on a grid of places; row index = y, class -1 where undefined."""

    x: np.ndarray = quantity("map", "column")
    y: np.ndarray = quantity("map", "line")
    background: np.ndarray = quantity("", "line column")  # class
    background_confidence: np.ndarray = quantity("", "line column")
    round_trip: np.ndarray = quantity("of the map's radius", "line column")  # NaN where not measured
    gap: np.ndarray = quantity("of the map's radius", "line column")  # to the nearest image on the map
    background_agreement: float = quantity(
        "", words="background that agrees with the model"
    )  # with the images' own classes; NaN without a background
    background_chance: float = quantity("", words="the same by chance")  # the share of the most frequent class
    status: str = quantity("")  # a word of STATUSES

    @property
    def belief(self) -> np.ndarray:
        """(line, column) from 1 where a place comes back to itself to 0 where it misses by a quarter of the radius."""
        worst = np.fmax(np.nan_to_num(self.round_trip), self.gap) / _BELIEVED
        kept: np.ndarray = (1 - worst).clip(0, 1)
        return kept

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """How well the map preserves neighbourhoods, and how often neighbours share a class."""
        yield from self.quoted("trustworthiness", "continuity", "neighbour_agreement")
        yield from self.quoted("chance:neighbours kept by a random map", "correlation", "seed_agreement")
        yield from self.quoted("background_agreement", "background_chance")
        for label, agreement in (("true", self.label_agreement), ("predicted", self.predicted_agreement)):
            for value, where in zip(agreement, ("on the map", "in the space", "by chance"), strict=True):
                yield Number(name=f"neighbours of one {label} class, {where}", value=value)


@counted
def decision_map(
    classifier: Classifier, found: EmbeddingMap, *, resolution: int = 64, on_progress: OnProgress = silent
) -> DecisionMap:
    """Add the classifier's predictions between the images to a map.

    Args:
        classifier: the classifier of the map.
        found: the map.
        resolution: places along each side of the square around the map.
        on_progress: called with the fraction done.

    Returns:
        The map with its background; runs of the head alone count as forwards.

    Raises:
        ValueError: if the classifier is another one or the resolution below 2.
    """
    if resolution < 2:
        raise ValueError(f"expected a resolution of at least 2, got {resolution}")
    placer = Placer(found, classifier)
    positions = torch.from_numpy(found.positions)
    low, high = positions.amin(0), positions.amax(0)
    half = float((high - low).max()) * (0.5 + _MARGIN) or 1.0
    x, y = (torch.linspace(float(middle) - half, float(middle) + half, resolution) for middle in (low + high) / 2)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).view(-1, 2).double()
    shape = resolution, resolution
    trip = torch.full((len(grid),), math.nan)
    label, confidence = np.full(len(grid), -1, np.int32), trip.numpy()
    radius = found.radius or 1.0
    gap = torch.cdist(grid, positions).amin(1) / radius
    agreement, status = math.nan, "no head"
    vectors = torch.from_numpy(found.vectors)
    if placer.space.answers:
        mixed = _mixed(grid, positions, vectors)
        label, confidence, _ = prediction(placer.space.answer(mixed))
        on_progress(0.3)
        status = "measured" if found.space != "divergence" else "not measured"
        if status == "measured":
            back = placer.places_of(mixed.to(classifier.device), _STEPS)
            trip = (back - grid).norm(dim=1) / radius
        on_progress(0.9)
        own = prediction(placer.space.answer(_mixed(positions, positions, vectors, same=True))).predicted
        agreement = float((own == found.predicted).mean())
    known = found.predicted[found.predicted >= 0]
    background: dict[str, Any] = {
        "x": x.double().numpy(),
        "y": y.double().numpy(),
        "background": label.reshape(shape),
        "background_confidence": confidence.reshape(shape),
        "round_trip": trip.numpy().reshape(shape),
        "gap": gap.numpy().reshape(shape),
        "background_agreement": agreement,
        "background_chance": float(np.bincount(known).max() / len(found.predicted)) if len(known) else math.nan,
        "status": status,
    }
    return DecisionMap.extended(found, **background, **spent())


def _mixed(places: Tensor, positions: Tensor, vectors: Tensor, *, same: bool = False) -> Tensor:
    """The mean of the vectors of the images nearest on the map; at an image itself its own, or without it."""
    far = torch.cdist(places, positions)
    if same:
        far.fill_diagonal_(torch.inf)
    distance, index = far.topk(min(_NEAREST, len(positions) - same), 1, largest=False)
    weights = 1 / distance.square().clamp(min=1e-12)
    weights /= weights.sum(1, keepdim=True)
    mixed = torch.zeros(len(places), vectors.shape[1])
    for number in range(index.shape[1]):  # one neighbour at a time: all at once would be eight times the memory
        mixed += weights[:, number : number + 1].float() * vectors[index[:, number]]
    return mixed
