"""A map of many images on a plane that preserves their neighbourhoods in a space given by the classifier.

Images are compared in a space (`core.geometry.maps.spaces`): features of the penultimate layer, pixels, logits. Each is
joined to its nearest neighbours there, and UMAP lays out the graph (`core.geometry.maps.layout`). No map of that many
dimensions is faithful. It preserves most neighbours: the result gives the share that it keeps and that it invents.
Distances between groups, sizes of groups, gaps and directions mean nothing.

Further images are placed on the map without moving those already there (`core.geometry.maps.transform`).

Reference: McInnes, Healy, Melville, UMAP: Uniform Manifold Approximation and Projection for dimension reduction, arXiv
1802.03426.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from core.geometry.maps.divergence import DivergenceSearch
from core.geometry.maps.layout import curve, fuzzy_graph, gpu_layout, lay_out, principal_start
from core.geometry.maps.neighbours import comparable, distances, nearest
from core.geometry.maps.quality import map_quality, stability
from core.geometry.maps.spaces import Space, SpaceName
from core.geometry.maps.transform import anchored, distance_ratio, place
from core.models.classifier import Classifier
from core.result import ClassifierResult, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, part_of, silent

_FEWEST = 4  # images
_MOST = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement(Result):
    """Places of m new images on a map; NaN where an image has no finite distance."""

    positions: np.ndarray = quantity("map", "image axis")
    ratio: np.ndarray = quantity("", "image")  # distance to the neighbours over what is typical: 1 as usual, 3 far off
    neighbours: np.ndarray = quantity("", "image neighbour")  # numbers of the nearest images of the map, nearest first
    predicted: np.ndarray = quantity("", "image")  # class, -1 where undefined


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingMap(ClassifierResult):
    """A map of n images with the classifier's predictions and the quality of the map."""

    positions: np.ndarray = quantity("map", "image axis")
    predicted: np.ndarray = quantity("", "image")  # class, -1 where a logit is not finite
    confidence: np.ndarray = quantity("", "image")  # probability of that class
    margin: np.ndarray = quantity("logit", "image")  # largest logit minus the next, >= 0
    label: np.ndarray = quantity("", "image")  # the true class, -1 where it is not known
    row: np.ndarray = quantity("", "image")  # of the image in its set
    spread: np.ndarray = quantity("of the map's radius", "image")  # over seeds, after Procrustes; NaN of one seed
    vectors: np.ndarray = quantity("", "image coordinate")  # in the space
    logits: np.ndarray = quantity("logit", "image class")
    trustworthiness: float = quantity("", words="trustworthiness")
    continuity: float = quantity("", words="continuity")
    neighbour_agreement: float = quantity("", words="neighbours kept")
    correlation: float = quantity(
        "", words="correlation of distances"
    )  # Spearman's, of distances in the space and on the map
    label_agreement: tuple[float, float, float] = quantity("")  # of neighbours: on the map, in the space, by chance
    predicted_agreement: tuple[float, float, float] = quantity("")
    seed_agreement: float = quantity(
        "", words="neighbours kept between seeds"
    )  # share of neighbours that maps of two seeds have in common; NaN of one
    typical: float = quantity("")  # median of the mean distance to the neighbours
    a: float = quantity("")  # of the curve, see `core.geometry.maps.layout`
    b: float = quantity("")
    space: str = quantity("")
    layer: str = quantity("", default="")
    space_words: str = quantity("", default="")
    neighbours: int = quantity("")  # as UMAP counts them: the image itself is one
    scale: tuple[float, float] = quantity("", default=(1.0, 1.0))  # of the divergence: the largest of both lengths
    engine: str = quantity("", default="umap-learn")
    all_pairs: int = quantity("images", default=0)  # forwards of the divergence of all pairs, as published

    @property
    def radius(self) -> float:
        """The root mean square distance of the images from their middle, on the map."""
        centred = self.positions - self.positions.mean(0)
        return float(np.sqrt((centred**2).sum(1).mean()))

    @property
    def chance(self) -> float:
        """The neighbour agreement of a random map."""
        n = len(self.positions)
        return min(10, (n - 1) // 2) / (n - 1)

    def transform(self, classifier: Classifier, images: Float[Tensor, "m c h w"]) -> Placement:
        """Place images on the map without moving those already there.

        Args:
            classifier: the classifier of the map.
            images: finite pixel values.

        Returns:
            Their places and how far they are from the images of the map.

        Raises:
            ValueError: if the classifier is another one.
            ImageError: if the shape is not the classifier's or a value is not finite.
        """
        return Placer(self, classifier)(images)


@counted
def embed(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    space: SpaceName = "features",
    seed: int = 0,
    *,
    layer: str = "",
    neighbours: int = 15,
    min_dist: float = 0.4,
    seeds: int = 1,
    labels: Int64[Tensor, " n"] | None = None,
    epochs: int | None = None,
    on_progress: OnProgress = silent,
) -> EmbeddingMap:
    """Make a map of images.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        space: what images are compared in, see `core.geometry.maps.spaces`.
        seed: seed of the layout; the same seed gives the same map.
        layer: for features, the path of a module; "" for the penultimate layer.
        neighbours: neighbours of each image, itself included, as UMAP counts them: few for detail, many for the whole.
        min_dist: least distance of images on the map, where 1 is the distance over which they part.
        seeds: number of maps, to measure the effect of the seed; the first one is shown.
        labels: the true classes, for the agreement of neighbours; -1 where unknown.
        epochs: epochs of the layout over all edges; None for umap-learn's default, 500 or 200.
        on_progress: called with the fraction done.

    Returns:
        The map. `forwards` counts forward passes in images; for the divergence, points between images too.

    Raises:
        ValueError: if there are too few or too many images, or an option is not one of those above.
        ImageError: if a value is not finite or the shape is not the classifier's.
    """
    n = len(images)
    if not _FEWEST <= n <= _MOST:
        raise ValueError(f"expected {_FEWEST} to {_MOST} images for a map, got {n}; choose others")
    if neighbours < 3 or seeds < 1 or not 0 <= min_dist <= 1:
        came = f"{neighbours}, {min_dist:g} and {seeds}"
        raise ValueError(f"expected 3 neighbours, a least distance in [0, 1] and a seed at least, got {came}")
    given = Space(classifier, space, layer)
    pixels = classifier.accept(images)
    vectors, logits = given(pixels, part_of(on_progress, 0.0, 0.2))
    if not bool(torch.isfinite(vectors).all()):
        raise ValueError(f"expected finite {given.words}, got NaN or infinity; choose another space, such as pixels")
    distance, index, far, lengths = _neighbours_of(
        classifier, given, pixels, vectors, logits, min(neighbours, n) - 1, seed, on_progress
    )
    a, b = curve(min_dist)
    said = logits.double().softmax(1).sqrt() if space == "divergence" else vectors
    start = comparable(said, given.metric)
    graph = fuzzy_graph(distance, index)
    maps, engine = [], "umap-learn"
    for number in range(seeds):
        on_progress(0.6 + 0.3 * number / seeds)
        own = seed + number
        laid = gpu_layout(vectors, given.metric, min(neighbours, n), min_dist, own) if space != "divergence" else None
        engine = "umap-learn" if laid is None else "cuML"
        maps.append(lay_out(graph, principal_start(start, own), a, b, own, epochs=epochs) if laid is None else laid)
    on_progress(0.9)
    answer = prediction(logits)
    known = torch.full((n,), -1) if labels is None else labels.cpu()
    quality = map_quality(far, torch.from_numpy(maps[0]), known, torch.from_numpy(answer.predicted), seed=seed)
    spread, common = stability(maps) if seeds > 1 else (np.full(n, math.nan), math.nan)
    return EmbeddingMap(
        positions=maps[0].astype(np.float64),
        **answer._asdict(),
        label=known.numpy().astype(np.int32),
        row=np.arange(n, dtype=np.int32),
        spread=spread,
        vectors=vectors.float().cpu().numpy(),
        logits=logits.float().cpu().numpy(),
        **vars(quality),
        seed_agreement=common,
        typical=float(distance.mean(1).median()),
        a=a,
        b=b,
        space=space,
        layer=layer,
        space_words=given.words,
        neighbours=min(neighbours, n),
        engine=engine,
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **lengths,
        **spent(),
    )


def _neighbours_of(
    classifier: Classifier,
    given: Space,
    pixels: Tensor,
    vectors: Tensor,
    logits: Tensor,
    count: int,
    seed: int,
    on_progress: OnProgress,
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor], dict[str, Any]]:
    """The (n, k) distances and numbers of neighbours, the distances of rows to all, and fields of the map."""
    tick = part_of(on_progress, 0.2, 0.6)
    if given.name == "divergence":
        with torch.inference_mode():
            search = DivergenceSearch(classifier, pixels, logits, seed=seed)
            distance, index, known = search.nearest(pixels, logits, count, same=True, tick=tick)
        return distance, index, known.__getitem__, {"scale": search.scale, "all_pairs": search.published()}
    distance, index = nearest(vectors, vectors, count, given.metric, same=True, on_progress=tick)
    there = comparable(vectors, given.metric)
    return distance, index, lambda rows: distances(there[rows.to(there.device)], there, given.metric).cpu(), {}


class Prediction(NamedTuple):
    """The predicted class of each row, its probability, and the margin."""

    predicted: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray


def prediction(logits: Float[Tensor, "n k"]) -> Prediction:
    """Class, probability and margin; -1 and NaN where a logit is not finite."""
    exact = logits.double().cpu()
    finite = torch.isfinite(exact).all(1)
    top = exact.nan_to_num().topk(2, 1).values
    confidence, label = exact.nan_to_num().softmax(1).max(1)
    return Prediction(
        label.where(finite, -1).int().numpy(),
        confidence.where(finite, torch.nan).numpy(),
        (top[:, 0] - top[:, 1]).where(finite, torch.nan).numpy(),
    )


class Placer:
    """Places images, or vectors of the space, on an existing map.

    Args:
        found: the map.
        classifier: the classifier of the map.

    Raises:
        ValueError: if the classifier is another one.
    """

    def __init__(self, found: EmbeddingMap, classifier: Classifier) -> None:
        if found.fingerprint != classifier.fingerprint:
            raise ValueError(f"expected the classifier that the map is of, got {classifier.name}; make a map of it")
        self.map, self._classifier = found, classifier
        self.space = Space(classifier, found.space, found.layer)  # type: ignore[arg-type]
        self._vectors = torch.from_numpy(found.vectors).to(classifier.device)
        self._positions = torch.from_numpy(found.positions)
        self._search: DivergenceSearch | None = None
        if found.space == "divergence":
            pixels = self._vectors.view(-1, *classifier.input_shape).to(classifier.dtype)
            logits = torch.from_numpy(found.logits).to(classifier.device)
            self._search = DivergenceSearch(classifier, pixels, logits, scale=found.scale)

    @counted
    def __call__(
        self, images: Float[Tensor, "m c h w"], tick: Callable[[float], None] = lambda part: None
    ) -> Placement:
        """Place images; see `EmbeddingMap.transform`.

        Args:
            images: finite pixel values.
            tick: called with the fraction done.

        Returns:
            Their places.
        """
        pixels = self._classifier.accept(images)
        vectors, logits = self.space(pixels, tick)
        count = self.map.neighbours - 1
        if self._search is None:
            distance, index = nearest(vectors, self._vectors, count, self.space.metric)
        else:
            with torch.inference_mode():
                distance, index, _ = self._search.nearest(pixels, logits, count, tick=tick)
        places = place(self._positions, distance, index, self.map.a, self.map.b)
        return Placement(
            positions=anchored(places, self._positions, *self._told_apart(vectors, logits, distance, index)).numpy(),
            ratio=distance_ratio(distance, self.map.typical).numpy(),
            neighbours=index.numpy(),
            predicted=prediction(logits).predicted,
            **spent(),
        )

    def _told_apart(self, vectors: Tensor, logits: Tensor, distance: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest images in a finer metric, because several may lie at distance 0 in the map's own."""
        here, there = vectors, self._vectors
        if self.map.space == "probabilities":  # of sure answers all are alike
            here, there = logits, torch.from_numpy(self.map.logits).to(logits.device)
        elif self.space.metric != "cosine":
            return distance, index
        known = torch.isfinite(here).all(1).cpu()
        distance, index = nearest(here.nan_to_num(), there.nan_to_num(), self.map.neighbours - 1, "euclidean")
        return distance.where(known[:, None], torch.nan), index

    def places_of(self, vectors: Float[Tensor, "m d"], steps: int) -> Float[Tensor, "m 2"]:
        """Places of vectors of the space that belong to no image; the divergence has no such vectors.

        Args:
            vectors: of the space.
            steps: see `core.geometry.maps.transform.place`.

        Returns:
            Places, on the CPU.
        """
        distance, index = nearest(vectors, self._vectors, self.map.neighbours - 1, self.space.metric)
        return place(self._positions, distance, index, self.map.a, self.map.b, steps=steps)
