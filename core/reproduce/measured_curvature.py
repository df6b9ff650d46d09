"""What is measured on a demo model for the claims about curvature and connected regions.

A network of kinks is measured at two stated scales: differences of its gradient over a step of one of 255 grey levels
in every value, and over the ten of 512 that were published. A smooth one needs no scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.boundary.relabel import relabel
from core.geometry.common.sampling import stratified
from core.geometry.curvature.profile import curvature_profile
from core.geometry.curvature.summary import CurvatureSummary
from core.geometry.detector.evaluation import Attack, DetectionExhibit, detection_exhibit
from core.geometry.hessian.kinks import kinks
from core.geometry.hessian.lanczos import quadrature
from core.geometry.hessian.second_derivatives import grey_level, operators_at
from core.geometry.regions.connect import RegionPaths, connect
from core.geometry.shared_directions.mean_shape_operator import noise_images
from core.geometry.shared_directions.sharing import (
    DirectionNoise,
    DirectionSharing,
    direction_noise,
    direction_sharing,
    halves,
)
from core.models.classifier import Classifier
from core.reproduce.demo import DemoModel, Named
from core.runtime.cost import counted, spent

OVERSHOOTS = (1.1, 1.5, 2.0, 3.0)  # times the distance to the boundary
NEAR = 0  # of these, the one that a detector has to find
DIRECTIONS = 12  # shared ones that are kept
DIMENSION = 6  # of the subspaces that noise is drawn in
LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the noise, in median distances to the boundary
CONFIDENCE = 0.95  # of bands and intervals
PAIRS = ("two images of a class", "an image and one of another class, relabelled", "an image and noise, relabelled")

_PROBES, _STEPS = 4, 40  # of the quadrature: within 6 % of the full spectrum's participation on the demo models
_WHOLE = 3  # images of a network of kinks, whose maps no quadrature holds for: full spectra
_ALL = 18  # images whose boundaries to all classes are looked at


@dataclass(frozen=True)
class MeasuredCurvature(Named):
    """What was measured on one model, at one scale where it needs one."""

    summary: CurvatureSummary
    sharing: DirectionSharing
    shared: DirectionNoise
    own: DirectionNoise
    overshoot: DetectionExhibit
    attacked: DetectionExhibit
    every: DetectionExhibit  # with the second score, of the shortest overshoot
    paths: Mapping[str, RegionPaths]  # by kind of pair
    num_classes: int
    scale: float = math.nan  # ℓ2 pixel, of a network of kinks

    @property
    def at(self) -> str:
        """The scale in words, to stand behind a quantity."""
        return f", h = {self.scale:.3g} ℓ2" if math.isfinite(self.scale) else ""


def measure_curvature(model: DemoModel, count: int, seed: int) -> list[MeasuredCurvature]:
    """Measure one model.

    Args:
        model: the model.
        count: images that directions come from, as many others, and pairs of each kind; three times as many are
            scored.
        seed: of what is random.

    Returns:
        One entry, or two for a network of kinks, with the same paths.
    """
    images = model.as_trained
    values = images.pixels[0].numel()
    scales: tuple[float | None, ...] = (
        (grey_level(values), 10 * math.sqrt(values) / 512) if kinks(model.classifier) else (None,)
    )
    labels = images.labels.numpy()
    paths = connected(model.classifier, images.pixels, count, seed)
    return [
        _at_scale(model.name, model.classifier, images.pixels, labels, paths, scale, count, seed) for scale in scales
    ]


def _at_scale(
    name: str,
    classifier: Classifier,
    pixels: Tensor,
    labels: np.ndarray,
    paths: Mapping[str, RegionPaths],
    scale: float | None,
    count: int,
    seed: int,
) -> MeasuredCurvature:
    first, second = (pixels[rows] for rows in halves(labels, count, seed))
    found = boundary_points(classifier, second)
    lengths = [float(np.nanmedian(found.distance)) * length for length in LENGTHS]
    sharing = direction_sharing(
        classifier, first, second, directions=DIRECTIONS, noise=max(2, count // 2), scale=scale, seed=seed
    )
    shared, own = (
        direction_noise(classifier, first, second, lengths, whose=whose, directions=DIMENSION, scale=scale, seed=seed)
        for whose in ("shared", "own")
    )
    many, some = (pixels[stratified(labels, size, seed)] for size in (3 * count, min(_ALL, 3 * count)))
    near = OVERSHOOTS[NEAR : NEAR + 1]

    def exhibit(
        images: Tensor, factors: Sequence[float], attacks: Sequence[Attack], classes: int = 0
    ) -> DetectionExhibit:
        return detection_exhibit(
            classifier,
            images,
            overshoots=factors,
            attacks=attacks,
            classes=classes,
            confidence=CONFIDENCE,
            scale=scale,
            seed=seed,
        )

    return MeasuredCurvature(
        name=name,
        summary=spectra(classifier, second, scale, seed),
        sharing=sharing,
        shared=shared,
        own=own,
        overshoot=exhibit(many, OVERSHOOTS, ("overshoot",)),
        attacked=exhibit(many, near, ("projected gradient", "shortest")),
        every=exhibit(some, near, ("overshoot",), classifier.num_classes - 1),
        paths=paths,
        num_classes=classifier.num_classes,
        scale=math.nan if scale is None else scale,
    )


@counted
def spectra(classifier: Classifier, images: Tensor, scale: float | None, seed: int) -> CurvatureSummary:
    """The density of all principal curvatures near each image, by quadrature; of a network of kinks full spectra.

    Args:
        classifier: the model.
        images: finite pixel values; of a network of kinks the first three are looked at.
        scale: of differences for networks of kinks, in ℓ2 pixel; None for smooth ones.
        seed: of random directions.

    Returns:
        A summary, without the images that have no boundary point.
    """
    if scale is not None:
        return curvature_profile(classifier, images[:_WHOLE], "all", scale=scale, keep=2, seed=seed)
    found = boundary_points(classifier, images)
    operators, _ = operators_at(classifier, found, "exact", None)
    density = [quadrature(operator, _PROBES, _STEPS, seed) for _, operator in operators]
    nodes, weights = (
        torch.cat([getattr(part, name) for part in density]).cpu().numpy() for name in ("nodes", "weights")
    )
    ends = np.sort(nodes, 1)[:, ::-1]
    return CurvatureSummary(
        curvatures=ends[:, [0, -1]],
        distance=found.distance[found.found],
        nodes=nodes,
        weights=weights,
        dimension=images[0].numel() - 1,
        **spent(),
    )


def connected(classifier: Classifier, images: Tensor, pairs: int, seed: int) -> dict[str, RegionPaths]:
    """Paths between pairs of images of one predicted class, of the three kinds of `PAIRS`.

    Args:
        classifier: the model.
        images: of the whole set.
        pairs: of each kind; fewer where there are not enough.
        seed: of the draw.

    Returns:
        Paths by kind; a kind of which there is no pair is left out.
    """
    predicted = classifier.predict(images).label
    rows = stratified(predicted, pairs, seed)
    found: dict[str, RegionPaths] = {}
    same = _partners(rows, predicted, seed, same=True)
    paired = same >= 0
    if paired.any():
        found[PAIRS[0]] = connect(classifier, images[rows[paired]], images[same[paired]], seed=seed)
    others = _partners(rows, predicted, seed, same=False)
    strangers = {PAIRS[2]: (rows, noise_images(classifier, len(rows), seed))}
    if (others >= 0).any():
        strangers = {PAIRS[1]: (rows[others >= 0], images[others[others >= 0]]), **strangers}
    for kind, (chosen, ends) in strangers.items():
        moved = relabel(classifier, ends, torch.as_tensor(predicted[chosen]).long())
        there = torch.as_tensor(moved.found)
        if bool(there.any()):
            targets = torch.as_tensor(moved.images)[there].to(images)
            found[kind] = connect(classifier, images[chosen[moved.found]], targets, seed=seed)
    return found


def _partners(rows: np.ndarray, predicted: np.ndarray, seed: int, *, same: bool) -> np.ndarray:
    """For each row another one of the same predicted class, or of another, at random; -1 where there is none."""
    generator = np.random.default_rng(seed)
    found = []
    for row in rows.tolist():
        fitting = np.flatnonzero((predicted == predicted[row]) == same)
        fitting = fitting[fitting != row]
        found.append(int(generator.choice(fitting)) if len(fitting) else -1)
    return np.array(found)
