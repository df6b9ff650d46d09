"""What is claimed about distances by frequency, and about PRIME, tested on the demo models.

Distances are measured inside windows of 8 x 8 frequencies along the diagonal, on correctly classified images only. Two
models are compared on the same images. Intervals come from the bootstrap over images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.geometry.common.sampling import stratified
from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.subspaces.subspace_distances import SubspaceDistances, subspace_distances
from core.geometry.subspaces.subspaces import frequency_windows
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.reproduce.demo import DemoModel, Named, Study, partners
from core.reproduce.estimates import bootstrap, lower_median
from core.reproduce.moved_samples import moved_samples
from core.reproduce.report import Claim, Evidence, claim
from core.training.modes import attack

MARGINS = "Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight!, NeurIPS 2020, arXiv 2002.06349"
PRIME = "Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME, ECCV 2022, arXiv 2112.13547"
COUNT = 30  # images of each model whose distances are measured, drawn evenly from the classes
RADIUS = {"photos": 0.5, "digits": 1.0}  # ℓ2 pixel: half of what adversarial training was given
STEPS = 20  # of projected gradient descent
TRAINED = ("standard", "adversarial", "prime")

_BLOCK = 8  # frequencies per side of a window; windows do not overlap
_MANY = 6  # times as many images for accuracies, which are cheaper
_SEEDS = 3  # of the synthetic samples
_MUCH = 2.0  # times as far: less may be noise between two training runs


@dataclass(frozen=True)
class Measured(Named):
    """What was measured on one model."""

    margins: SubspaceDistances
    corrupted: np.ndarray  # (images,) share of corruptions and severities at which the class is right
    attacked: np.ndarray  # (images,) whether the class survives projected gradient descent

    @property
    def medians(self) -> np.ndarray:
        """The median distance in each window, of images that are classified correctly."""
        return self.margins.quantile(0.5, self.margins.right)


def claims(study: Study) -> Iterator[Claim]:
    """Test the claims; those about several models compare models of one data set and seed."""
    measured = list(study.each(measure))
    used = [one for one in measured if one.training in (*TRAINED, "untrained") and _used(one).any()]
    rise = _rise(used)
    null = "an untrained model stands beside: what it shows comes from the architecture alone"
    yield rise if all(one.trained for one in used) else replace(rise, note=null)
    both = partners(measured, "adversarial", "standard")
    yield _lift((one, other) for one, other in both if (one.margins.right & other.margins.right).any())
    yield _removed(_beside_standard(measured, "digits/lowpass"))
    yield _mirrored(_beside_standard(measured, "digits/flipped"))
    yield _moved((number, study.seed + number) for number in range(_SEEDS))
    yield _endures(pair for against in ("standard", "adversarial") for pair in partners(measured, "prime", against))
    yield _not_robust(partners(measured, "prime", "adversarial"))


def measure(model: DemoModel, count: int, seed: int) -> Measured:
    """Measure one model.

    Args:
        model: the model.
        count: images whose distances are measured, drawn evenly from the classes; six times as many are corrupted and
            attacked, where the model was trained to classify images as they are.
        seed: of what is random.

    Returns:
        What was measured; empty arrays where nothing was corrupted.
    """
    label = model.images.labels.numpy()
    chosen = model.as_trained[stratified(label, count, seed)]
    family = frequency_windows(model.classifier.input_shape, _BLOCK, _BLOCK)
    found = subspace_distances(model.classifier, chosen.pixels, subspaces=family, keep=0)
    margins = replace(found, label=chosen.labels.numpy().astype(np.int32))
    if model.training not in TRAINED:
        return Measured(model.name, margins, np.empty(0), np.empty(0))
    many = model.images[stratified(label, _MANY * count, seed)]
    attacked = _attacked(model.classifier, many, RADIUS[model.data], seed)
    return Measured(model.name, margins, _corrupted(model.classifier, many, seed), attacked)


def _corrupted(classifier: Classifier, images: ImageSet, seed: int) -> np.ndarray:
    """(n,) the share of all corruptions, at severities 1 to 5, under which each image keeps its class."""
    labels = images.labels.numpy()
    kept = [
        classifier.predict(corrupt(images.pixels, name, severity, seed)).label == labels
        for name in CORRUPTIONS
        for severity in (1.0, 2.0, 3.0, 4.0, 5.0)
    ]
    share: np.ndarray = np.mean(kept, axis=0)
    return share


def _attacked(classifier: Classifier, images: ImageSet, radius: float, seed: int) -> np.ndarray:
    """(n,) whether projected gradient descent in an ℓ2 ball leaves the true class of each image."""
    net = classifier.to(device="cpu")
    pixels, labels = images.pixels, images.labels
    wrong = torch.from_numpy(net.predict(pixels).label) != labels
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False):
        _, fooled = attack(net, pixels.clone(), labels, generator, radius=radius, steps=STEPS)
    survived: np.ndarray = ~(fooled | wrong).numpy()
    return survived


def _used(one: Measured) -> np.ndarray:
    """The images that count: correctly classified ones; for an untrained model all that have a class."""
    return one.margins.right if one.trained else one.margins.source_class >= 0


def _beside_standard(measured: Sequence[Measured], name: str) -> list[tuple[Measured, Measured]]:
    """A model of digits with digits/standard, where both were measured."""
    known = {one.name: one for one in measured}
    return [(known[name], known["digits/standard"])] if {name, "digits/standard"} <= known.keys() else []


def _ratio(top: np.ndarray, bottom: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The ratio of two medians over the same images, with its interval."""

    def of(rows: np.ndarray) -> float:
        below = lower_median(bottom[rows])
        return lower_median(top[rows]) / below if np.isfinite(below) else float("nan")

    return of(np.arange(len(top))), bootstrap(len(top), of, "nearest")


@claim("Margins rise with frequency: models are more invariant to high frequencies than to low ones.", MARGINS)
def _rise(one: Measured) -> Iterator[Evidence]:
    distance = one.margins.distance[_used(one)]
    value, interval = _ratio(distance[:, -1], distance[:, 0])
    yield Evidence(
        model=one.name,
        quantity="median distance, highest over lowest window",
        value=value,
        interval=interval,
        control=1.0,
        control_name="no preferred direction: windows have equal dimension",
        holds=interval[0] > 1 if one.trained else None,
    )


@claim(
    "Adversarial training moves the boundary away in all frequencies, most of all in high ones.",
    MARGINS,
    "distances beyond the diagonal of the pixel box are about the function, not about possible images",
)
def _lift(pair: tuple[Measured, Measured]) -> Iterator[Evidence]:
    strong, plain = pair
    both = strong.margins.right & plain.margins.right
    above, below = strong.margins.distance[both], plain.margins.distance[both]
    low, high = (_ratio(above[:, window], below[:, window])[0] for window in (0, -1))

    def more(rows: np.ndarray) -> float:
        ends = [lower_median(above[rows, window]) / lower_median(below[rows, window]) for window in (-1, 0)]
        return ends[0] / ends[1]

    interval = bootstrap(int(both.sum()), more, "nearest")
    yield Evidence(
        model=strong.name,
        quantity=f"lift of the highest window over that of the lowest ({high:.3g} x over {low:.3g} x)",
        value=high / low,
        interval=interval,
        control=1.0,
        control_name="an equal lift everywhere",
        holds=interval[0] > 1,
    )


@claim(
    "Relative to the frequencies it was given, a model trained without high ones is invariant to them.",
    MARGINS,
    "one pair of models; the images are low-passed for the one, which brings them nearer to each other",
)
def _removed(pair: tuple[Measured, Measured]) -> Iterator[Evidence]:
    passed, plain = pair
    used, both = passed.margins.right, passed.margins.right & plain.margins.right
    far = passed.margins.distance
    for window in range(1, far.shape[1]):
        where = passed.margins.labels[window]
        control = float(plain.medians[window] / plain.medians[0])
        value, interval = _ratio(far[used, window], far[used, 0])
        yield Evidence(
            model=passed.name,
            quantity=f"median distance over that in the lowest window, {where}",
            value=value,
            interval=interval,
            control=control,
            control_name="digits/standard",
            holds=interval[0] > control,
        )
        value, interval = _ratio(far[both, window], plain.margins.distance[both, window])
        yield Evidence(
            model=passed.name,
            quantity=f"median distance over that of digits/standard, {where}",
            value=value,
            interval=interval,
            control=float(passed.medians[0] / plain.medians[0]),
            control_name="the same in the lowest window",
        )


@claim(
    "The curve follows the data: on images whose frequencies are turned round it is mirrored.",
    MARGINS,
    "one pair of models",
)
def _mirrored(pair: tuple[Measured, Measured]) -> Iterator[Evidence]:
    turned, plain = pair
    own, original = _shape(turned.medians), _shape(plain.medians)
    apart, straight = (float(np.sqrt(np.mean((curve - original) ** 2))) for curve in (own[::-1], own))
    distance = turned.margins.distance[turned.margins.right]
    value, interval = _ratio(distance[:, -1], distance[:, 0])
    yield Evidence(
        model=turned.name,
        quantity="difference in shape of the mirrored curve and that of digits/standard (rms of ln)",
        value=apart,
        control=straight,
        control_name="the curve as it is",
        holds=apart < straight,
    )
    yield Evidence(
        model=turned.name,
        quantity="median distance, highest over lowest window",
        value=value,
        interval=interval,
        control=plain.medians[-1] / plain.medians[0],
        control_name="digits/standard",
        holds=interval[1] < 1,
    )


def _shape(medians: np.ndarray) -> np.ndarray:
    """The logarithm of a curve, about its mean: a factor, such as half the contrast, changes nothing."""
    shape: np.ndarray = np.log(medians) - np.log(medians).mean()
    return shape


@claim(
    "Moving the training samples along one direction makes the model invariant to an orthogonal one.",
    MARGINS,
    "1,000 synthetic samples in 100 dimensions, a perceptron of two hidden layers",
)
def _moved(numbered: tuple[int, int]) -> Iterator[Evidence]:
    number, seed = numbered
    before, after, scattered = (moved_samples(move, seed) for move in ("none", "by class", "at random"))
    value, control = after.discriminative / before.discriminative, scattered.discriminative / before.discriminative
    yield Evidence(
        model=f"synthetic/perceptron{f'-{number}' if number else ''}",
        quantity="distance along the direction in which no sample moved, after over before",
        value=value,
        control=control,
        control_name="samples moved as far, regardless of class",
        holds=value > _MUCH * max(1.0, control),
    )


@claim(
    "PRIME makes models endure common corruptions.",
    PRIME,
    "12 corruptions of our own at severities 1 to 5; filters and colour curves of the training resemble some of them",
)
def _endures(pair: tuple[Measured, Measured]) -> Iterator[Evidence]:
    ours, theirs = pair
    gain = ours.corrupted - theirs.corrupted
    interval = bootstrap(len(gain), lambda rows: float(gain[rows].mean()), "nearest")
    yield Evidence(
        model=ours.name,
        quantity=f"accuracy under corruptions, minus that of {theirs.name}",
        value=float(gain.mean()),
        interval=interval,
        control=float(theirs.corrupted.mean()),
        control_name=f"accuracy of {theirs.name}",
        holds=interval[0] > 0 if theirs.training == "standard" else None,
    )


@claim(
    "Against projected gradient descent PRIME does not win: adversarial training does.",
    PRIME,
    f"{STEPS} steps, random start, inside the pixel box",
)
def _not_robust(pair: tuple[Measured, Measured]) -> Iterator[Evidence]:
    ours, theirs = pair
    lost = theirs.attacked.astype(float) - ours.attacked.astype(float)
    interval = bootstrap(len(lost), lambda rows: float(lost[rows].mean()), "nearest")
    yield Evidence(
        model=ours.name,
        quantity=f"accuracy of {theirs.name} at ℓ2 {RADIUS[ours.data]:g}, minus that of this one",
        value=float(lost.mean()),
        interval=interval,
        control=float(ours.attacked.mean()),
        control_name="accuracy of this one",
        holds=interval[0] > 0,
    )
