"""What is claimed about curved boundaries, shared directions, the detector and connected regions, on the demo models.

Every number is compared with a control: a random symmetric matrix, random directions, the same directions with random
phases, chance. The untrained model is the null: what it shows comes from the architecture alone. The curvature of a
piecewise linear network depends on the scale: it is measured over a step of one of 255 grey levels in every value, and
over the published ten of 512, and counts only where both agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.boundary.relabel import relabel
from core.geometry.common.intervals import wilson
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
from core.reproduce.demo import DemoModel, Named, Study
from core.reproduce.estimates import above, median_interval
from core.reproduce.report import Claim, Evidence, claim
from core.runtime.cost import counted, spent

REGIONS = "Fawzi, Moosavi-Dezfooli, Frossard, Soatto, CVPR 2018, arXiv 1705.09552"
UNIVERSAL = "Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Soatto, ICLR 2018, arXiv 1705.09554"
COUNT = 18  # images that directions come from, as many others, and pairs of each kind; three times as many are scored

_MOST = 0.5  # of the directions
_RECOVERED = 0.9  # of the images
_SEMICIRCLE = (8 / (3 * math.pi)) ** 2  # participation over dimension of a random symmetric matrix
_SEMICIRCLE_FLAT = 0.0637  # its share of eigenvalues within 5 % of the largest: (4 / pi) 0.05, to first order
_NULL = "an untrained model stands beside: what it shows comes from the architecture alone"
_SCALES = "a network of kinks is measured at two scales h, and counts where both agree"
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


def claims(study: Study) -> Iterator[Claim]:
    """Test the claims, once all models are measured."""
    measured = [one for scales in study.each(measure_curvature) for one in scales]
    once = list({one.name: one for one in reversed(measured)}.values())[::-1]  # where no scale enters: the first one
    convex, detected = _convex(measured), _detected(measured)
    null = "" if all(one.trained for one in measured) else f"; {_NULL}"
    for stated in (
        _flat(measured),
        _either_side(convex, "Curvatures are asymmetric: their signs do not balance, to one side or the other."),
        convex,
        _shared(measured),
        _fragile(measured),
        _universal(measured),
        _either_side(detected, "Mean curvature, of either sign, gives away images just across the boundary."),
        detected,
        _recovered(once),
        _connected(once),
    ):
        yield replace(stated, note=stated.note + null)


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
        """The scale as a suffix for the name of a quantity."""
        return f", h = {self.scale:.3g} ℓ2" if math.isfinite(self.scale) else ""


def measure_curvature(model: DemoModel, count: int, seed: int) -> list[MeasuredCurvature]:
    """Measure one model.

    Args:
        model: the model.
        count: number of images that directions come from, of other images, and of pairs of each kind; three times as
            many images are scored.
        seed: of what is random.

    Returns:
        One entry, or two for a network of kinks, with the same paths.
    """
    images = model.as_trained
    values, labels = images.pixels[0].numel(), images.labels.numpy()
    scales: tuple[float | None, ...] = (None,)
    if kinks(model.classifier):
        scales = grey_level(values), 10 * math.sqrt(values) / 512
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
    """For each row a random other one of the same predicted class, or of another class; -1 where there is none."""
    generator = np.random.default_rng(seed)
    every = np.arange(len(predicted))
    fitting = [np.flatnonzero(((predicted == predicted[row]) == same) & (every != row)) for row in rows]
    return np.array([generator.choice(each) if len(each) else -1 for each in fitting])


def _either_side(claim: Claim, statement: str) -> Claim:
    """The same claim for either sign: an interval below one half speaks for it too."""
    evidence = tuple(
        replace(entry, holds=entry.interval[1] < 0.5) if entry.holds is False and entry.interval else entry
        for entry in claim.evidence
    )
    return replace(claim, statement=statement, evidence=evidence)


def _middle(values: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """The median without NaN, with its interval where there are enough images for one."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, None
    interval = median_interval(known) if len(known) >= 6 else None  # below, none covers 95 %
    finite = interval is not None and all(map(math.isfinite, interval))
    value = float(np.median(known))
    return (value if math.isfinite(value) else math.nan), interval if finite else None


@claim(
    "The boundary is flat in most directions and curved in few.",
    REGIONS,
    f"full spectra of three images for networks of kinks, else densities by quadrature; {_SCALES}",
)
def _flat(one: MeasuredCurvature) -> Iterator[Evidence]:
    found = one.summary
    relative = "share with |k| below 5 % of the largest, median"
    for words, values, control, name in (
        ("share of directions with |k| D < 0.1, median", found.flat_fraction, None, ""),
        (relative, found.relatively_flat_fraction, _SEMICIRCLE_FLAT, "a random symmetric matrix"),
    ):
        value, interval = _middle(values)
        holds = None if math.isnan(value) else (interval[0] if interval else value) > _MOST
        yield Evidence(
            model=one.name,
            quantity=words + one.at,
            value=value,
            interval=interval,
            control=control,
            control_name=name,
            holds=holds if one.trained else None,
        )
    yield Evidence(
        model=one.name,
        quantity=f"share of directions that hold the curvature (participation), median{one.at}",
        value=_middle(found.participation / found.dimension)[0],
        control=_SEMICIRCLE,
        control_name="a random symmetric matrix",
    )


@claim(
    "Curvatures are asymmetric: on balance the boundary closes around the image's class.",
    REGIONS,
    f"k < 0 where the image's class is convex; {_SCALES}",
)
def _convex(one: MeasuredCurvature) -> Iterator[Evidence]:
    score = one.overshoot.clean_nearest
    known = score[np.isfinite(score)]
    low, high = (float(end) for end in wilson(float((known < 0).sum()), len(known)))
    yield Evidence(
        model=one.name,
        quantity=f"share of images with a negative mean curvature{one.at}",
        value=float((known < 0).mean()) if len(known) else math.nan,
        interval=(low, high) if len(known) else None,
        control=0.5,
        control_name="no preferred side",
        holds=low > 0.5 if len(known) and one.trained else None,
    )
    value, interval = _middle(one.summary.asymmetry)
    yield Evidence(
        model=one.name,
        quantity=f"sum of negative over sum of positive curvatures, median{one.at}",
        value=value,
        interval=interval,
        control=-1.0,
        control_name="no preferred side",
    )


@claim(
    "Curved directions are shared: what bends the boundary for some images bends it for others.",
    UNIVERSAL,
    f"noise beside: where it is as high, directions belong to the model, not to images; {_SCALES}",
)
def _shared(one: MeasuredCurvature) -> Iterator[Evidence]:
    found, name, decides = one.sharing, one.name, one.trained
    unseen, scrambled = (np.median(ratio, axis=1) for ratio in (found.unseen, found.scrambled))  # over directions
    words = f"curvature along shared directions over that along random ones{one.at}, on unseen images"
    yield above(name, words, unseen, np.ones_like(unseen), "random directions", decides=decides)
    yield above(name, words, unseen, scrambled, "same frequencies, shapes lost", decides=decides)
    value, interval = _middle(np.median(found.noise, axis=1))
    yield Evidence(
        model=name,
        quantity=f"the same on uniform noise, median{one.at}",
        value=value,
        interval=interval,
        control=_middle(unseen)[0],
        control_name="on unseen images, median",
    )
    yield Evidence(
        model=name,
        quantity=f"share of unseen images and directions that bend to the side of the mean{one.at}",
        value=found.same_sign,
        control=0.5,
        control_name="chance",
    )


def _flips(one: MeasuredCurvature, whose: str, span: str) -> np.ndarray:
    """(n,) the share of noise in a subspace that changes the class of each image, mean over lengths."""
    found = one.own if whose == "own" else one.shared
    share: np.ndarray = found.flipped[:, list(found.spans).index(span)].mean(1)
    return share


@claim(
    "The classifier is fragile along the curved directions of an image, more than along others.",
    REGIONS,
    f"noise of 0.5 to 8 median distances, mean over lengths; {_SCALES}",
)
def _fragile(one: MeasuredCurvature) -> Iterator[Evidence]:
    random, control = _flips(one, "own", "random"), "random tangent directions"
    for span, curvature, decides in (
        ("convex", "most negative curvature", True),
        ("curved", "largest curvature by magnitude", True),
        ("concave", "most positive curvature", False),
        ("flat", "no curvature to speak of", False),
    ):
        words = f"share of noise that flips, along directions of {curvature}{one.at}"
        yield above(one.name, words, _flips(one, "own", span), random, control, decides=decides and one.trained)


@claim(
    "Noise in the shared curved subspace, the same for all images, is a universal perturbation.",
    UNIVERSAL,
    f"the same noise on every image; 0.5 to 8 median distances, mean over lengths; {_SCALES}",
)
def _universal(one: MeasuredCurvature) -> Iterator[Evidence]:
    curved = _flips(one, "shared", "curved")
    words = f"share of noise that flips unseen images, along shared directions{one.at}"
    for span, control in (("all of space", "all of space"), ("scrambled", "shapes lost")):
        yield above(one.name, words, curved, _flips(one, "shared", span), control, decides=one.trained)


def _area(
    one: MeasuredCurvature, found: DetectionExhibit, place: int, score: int, words: str, decides: bool
) -> Evidence:
    value, low, high = (float(part[place, score]) for part in (found.auc, found.auc_low, found.auc_high))
    known = math.isfinite(value)
    return Evidence(
        model=one.name,
        quantity=f"AUC, {words}{one.at}",
        value=value,
        interval=(low, high) if known else None,
        control=0.5,
        control_name="chance",
        holds=low > 0.5 if known and decides and one.trained else None,
    )


@claim(
    "A high mean curvature gives away images just across the boundary.",
    REGIONS,
    f"an exhibit, never a defence; {CONFIDENCE:.0%} bands; the nearest boundary at 1.1 distances decides; below 0.5 the"
    f" score points the other way; {_SCALES}",
)
def _detected(one: MeasuredCurvature) -> Iterator[Evidence]:
    for place, factor in enumerate(one.overshoot.overshoot.tolist()):
        yield _area(one, one.overshoot, place, 0, f"{factor:g} times the distance", place == NEAR)
    for place, kind in enumerate(map(str, one.attacked.attack)):
        yield _area(one, one.attacked, place, 0, f"by {kind}", False)
    yield _area(one, one.every, 0, 1, "all class boundaries, 1.1 times the distance", False)


@claim(
    f"The class before a small perturbation is recovered, for more than {_RECOVERED:.0%} of images.",
    REGIONS,
    "it falls with the length, because another boundary becomes the nearest; curvature does not enter",
)
def _recovered(one: MeasuredCurvature) -> Iterator[Evidence]:
    for found in (one.overshoot, one.attacked):
        low, high = found.recovery_interval
        for place, kind in enumerate(map(str, found.attack)):
            value = float(found.recovery[place])
            plain = kind == "overshoot"
            words = f"{found.overshoot[place]:g} times the distance" if plain else f"by {kind}"
            decides = plain and place == NEAR and one.trained and math.isfinite(value)
            yield Evidence(
                model=one.name,
                quantity=f"share with the class before across the nearest boundary, {words}",
                value=value,
                interval=(float(low[place]), float(high[place])) if math.isfinite(value) else None,
                control=1 / (one.num_classes - 1),
                control_name="a guess",
                holds=value > _RECOVERED if decides else None,
            )


@claim(
    "Two images of a class lie in one connected region: a path was found for every pair.",
    REGIONS,
    "a path is evidence at the resolution at which it was checked; none found proves nothing",
)
def _connected(one: MeasuredCurvature) -> Iterator[Evidence]:
    for kind in PAIRS:
        paths = one.paths.get(kind)
        if paths is None:
            yield Evidence(model=one.name, quantity=f"paths found, {kind}", value=math.nan)
            continue
        count, hits = len(paths.found), int(paths.found.sum())
        low, high = (float(end) for end in wilson(hits, count))
        missed = "; ".join(sorted(set(map(str, paths.status[~paths.found]))))
        yield Evidence(
            model=one.name,
            quantity=f"share of {count} pairs with a path, {kind}" + (f" (not found: {missed})" if missed else ""),
            value=hits / count,
            interval=(low, high),
            control=float((paths.status == "straight").mean()),
            control_name="by the straight segment alone",
            holds=hits == count if one.trained else None,
        )
        yield Evidence(
            model=one.name,
            quantity=f"length of the paths over the distance, median, {kind}",
            value=_middle(paths.length_ratio)[0],
            control=1.0,
            control_name="a straight segment",
        )
