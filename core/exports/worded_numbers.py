"""Numbers of analyses that are worded one by one, as `core.exports.key_numbers` lists them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.exports.number import Number, Numbers, per_sample

if TYPE_CHECKING:
    from core.models.classifier import Classifier
    from core.recipes.recipe import Recipe

_MOST = 24  # subspaces that are named one by one; of more, the nearest and the farthest


def _named(classifiers: Sequence[Classifier], k: int) -> str:
    return classifiers[0].class_names[k]


# -- planes -----------------------------------------------------------------------------------------------------------


def slice_shares(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Shares of the classes in a slice, and its scale."""
    for k, share in result.shares().items():
        yield Number(name=f"share of {_named(classifiers, k)}", value=share)
    x_min, x_max, _, _ = result.extent
    yield Number(name="side of the square", value=x_max - x_min, unit="ℓ2 pixel")
    yield Number(name="step of the grid", value=result.step, unit="ℓ2 pixel")
    if result.angle is not None:
        yield Number(name="angle between the spanning directions", value=result.angle, unit="°")


def reached(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Which classes rays reach."""
    yield Number(name="share of rays that meet a boundary", value=float(result.found.mean()))
    for k in sorted(set(result.reached_class[result.found].tolist())):
        share = float((result.reached_class == k).mean())
        yield Number(name=f"share of rays that reach {_named(classifiers, k)}", value=share)


def finer_planes(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Regions of planes at twice the resolution."""
    if len(result.finer):
        yield Number(name="regions at twice the resolution", value=per_sample(result.finer), unit="regions")
        yield Number(name="regions at twice the resolution over these", value=result.finer_ratio)


# -- margins ----------------------------------------------------------------------------------------------------------


def margins(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Distances of the correctly classified images by subspace."""
    used = result.right if result.right.any() else result.source_class >= 0
    yield Number(name="images correctly classified", value=result.right)
    yield Number(name="distance in all of image space", value=per_sample(result.full_distance[used]), unit="ℓ2 pixel")
    if not used.any():
        return
    median = result.quantile(0.5, used)
    places: Mapping[int, str] = {place: str(label) for place, label in enumerate(result.labels)}
    if len(places) > _MOST:
        ends = {int(np.argmin(median)): "nearest", int(np.argmax(median)): "farthest"}
        places = {place: f"{words}: {result.labels[place]}" for place, words in ends.items()}
    for place, words in places.items():
        yield Number(name=f"distance in {words}", value=per_sample(result.distance[used, place]), unit="ℓ2 pixel")


# -- level sets -------------------------------------------------------------------------------------------------------


def triangle(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Confidence on a triangle, and where both walks end."""
    confidence = result.confidence[0]
    yield Number(name="mean confidence on the triangle", value=float(result.mean()[0]))
    yield Number(name="least confidence on the triangle", value=float(np.nanmin(confidence, initial=np.inf)))
    yield Number(name="share with the source's class", value=float((result.label[0] == result.source_class[0]).mean()))
    for walk, (ratio, rmse) in enumerate(zip(result.ratio, result.rmse, strict=True)):
        yield Number(name=f"distance to the target, end over source, walk {walk + 1}", value=float(ratio))
        yield Number(name=f"rms difference of end and target, walk {walk + 1}", value=float(rmse), unit="pixel")


def star(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How the ends of walks are seen from their source."""
    for field, words in (
        ("share", "share of ends seen from the source"),
        ("mean_reach", "mean reach of straight ways"),
        ("limbs", "limbs"),
        ("gap", "convexity gap"),
    ):
        yield Number(name=words, value=float(getattr(result, field)[0]))


# -- sparse perturbations ---------------------------------------------------------------------------------------------


def pixel(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """The least and the largest margin along each line of a pixel's values."""
    for line, margin in zip(result.lines, result.margin, strict=True):
        for words, end in (("least", np.nanmin), ("largest", np.nanmax)):
            known = np.isfinite(margin).any()
            yield Number(name=f"{words} margin, {line}", value=float(end(margin)) if known else math.nan, unit="logit")


def supports(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How well each score of pixels foretells supports."""
    for place, words in enumerate(result.predictors):
        for field, said in (("precision", "precision"), ("auc", "AUC")):
            yield Number(name=f"{said} of {words}", value=per_sample(getattr(result, field)[place]))
    yield Number(name="precision by chance", value=per_sample(result.precision_chance))


def race(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Pixels and cost of each contestant."""
    for place, words in enumerate(result.contestants):
        yield Number(name=f"images flipped, {words}", value=np.isfinite(result.pixels[place]))
        yield Number(name=f"pixels, {words}", value=per_sample(result.pixels[place]), unit="pixels")
        yield Number(name=f"gradients, {words}", value=per_sample(result.spent[place]), unit="gradients per image")


def transfer(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How often one model's perturbations flip another."""
    for condition, words in enumerate(result.conditions):
        for at in np.ndindex(result.flipped.shape[1:]):
            low, high = (float(each[(condition, *at)]) for each in (result.flipped_low, result.flipped_high))
            yield Number(
                name=f"share flipped, {words}, from {result.models[at[0]]} to {result.models[at[1]]}",
                value=float(result.flipped[(condition, *at)]),
                interval=(low, high),
            )


# -- corruptions ------------------------------------------------------------------------------------------------------


def severity(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Both ends of a walk through severities."""
    own = _named(classifiers, result.label)
    for place in (0, -1):
        at = f"severity {result.severity[place]:g}"
        yield Number(name=f"probability of {own}, {at}", value=float(result.probabilities[place, result.label]))
        yield Number(
            name=f"signed distance to the boundary, {at}", value=float(result.distance[place]), unit="ℓ2 pixel"
        )
    yield Number(name="length of the strongest corruption", value=float(result.displacement[-1]), unit="ℓ2 pixel")


def corruption(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Accuracy and distance on clean images and at the strongest severity."""
    ends = sorted({int(np.argmin(result.severities)), int(np.argmax(result.severities))})
    for place in ends:
        for row, words in enumerate(result.names):
            severity = float(result.severities[place])
            if severity == 0 and row:
                continue  # the clean images are the same for all corruptions
            low, high = float(result.accuracy_low[row, place]), float(result.accuracy_high[row, place])
            name = f"accuracy, {words}, severity {severity:g}" if severity else "accuracy on clean images"
            yield Number(name=name, value=float(result.accuracy[row, place]), interval=(low, high))
            said = f"{words}, severity {severity:g}" if severity else "clean images"
            middle = float(result.median_distance[row, place])
            yield Number(name=f"median signed distance, {said}", value=middle, unit="ℓ2 pixel")


def augmentation(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """What each primitive changes."""
    from core.geometry.corruptions.prime_draws import ROWS

    yield Number(name=f"probability of {_named(classifiers, result.clean_class)}", value=result.clean_confidence)
    for place, words in enumerate(ROWS):
        yield Number(name=f"draws that keep the class, {words}", value=result.predicted[place] == result.clean_class)
        yield Number(
            name=f"length of the change, {words}", value=per_sample(result.displacement[place]), unit="ℓ2 pixel"
        )


# -- regions ----------------------------------------------------------------------------------------------------------


def graph(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How many pairs are joined."""
    upper = np.triu_indices(len(result.component), 1)
    yield Number(name="images", value=float(len(result.component)))
    yield Number(name="pairs of one class", value=float(result.pairs))
    yield Number(name="pairs tried", value=float(result.tried))
    yield Number(name="pairs with a path", value=float(result.found))
    ratios, least = result.length_ratio[upper], result.min_margin[upper]
    if np.isfinite(ratios).any():
        yield Number(name="length of paths over the straight one, median", value=float(np.nanmedian(ratios)))
        yield Number(name="least margin on a path", value=float(np.nanmin(least)), unit="logit")


# -- curvature --------------------------------------------------------------------------------------------------------


def ends(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Both ends of the spectrum."""
    for words, column in (("most positive curvature", 0), ("most negative curvature", -1)):
        yield Number(name=words, value=per_sample(result.curvatures[:, column]), unit="1/ℓ2 pixel")


def walk_off(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How far the boundary leaves its parabola."""
    off = np.abs(result.height - result.parabola)
    if np.isfinite(off).any():
        yield Number(name="boundary off its parabola, at most", value=float(np.nanmax(off)), unit="ℓ2 pixel")


def sharing(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Curvature along shared directions, at each kind of points."""
    kinds = {"seen": "images they come from", "unseen": "other images", "noise": "noise", "scrambled": "scrambled"}
    for field, words in kinds.items():
        values = getattr(result, field)
        if values.size:
            yield Number(
                name=f"curvature along them over that along random directions, {words}", value=per_sample(values)
            )
    yield Number(name="same sign as the mean, share (by chance 0.5)", value=result.same_sign)
    for place, value in enumerate(result.curvatures):
        yield Number(name=f"mean curvature, direction {place + 1}", value=float(value), unit="1/ℓ2 pixel")


def sensitivity(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How often noise of each length in each subspace flips."""
    for place, words in enumerate(result.spans):
        for at, length in enumerate(result.length):
            yield Number(
                name=f"noise that flips, {words}, length {length:.3g}", value=per_sample(result.flipped[:, place, at])
            )


def overlap(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How far the subspaces of two models agree."""
    for at in np.ndindex(result.share.shape):
        if at[0] != at[1]:
            pair = f"{result.models[at[0]]} and {result.models[at[1]]}"
            yield Number(name=f"overlap of {pair}", value=float(result.share[at]))
            yield Number(name=f"overlap of {pair}, scrambled", value=float(result.scrambled[at]))


def detector(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How well scores give perturbed images away."""
    ends = result.recovery_interval
    for place, attack in enumerate(result.attack):
        length = result.overshoot[place]
        words = f"{attack}, {length:.3g} distances" if np.isfinite(length) else str(attack)
        yield Number(name=f"class changed, {words}", value=result.changed[place])
        for score, said in enumerate(("the nearest boundary", "all boundaries")):
            low, high = float(result.auc_low[place, score]), float(result.auc_high[place, score])
            yield Number(name=f"AUC by {said}, {words}", value=float(result.auc[place, score]), interval=(low, high))
        interval = float(ends[0][place]), float(ends[1][place])
        yield Number(name=f"class recovered, {words}", value=float(result.recovery[place]), interval=interval)


# -- limits -----------------------------------------------------------------------------------------------------------


def limits(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """At which change the limit falls to a half, and to the share that is marked."""
    yield Number(name="values of an image", value=float(result.values))
    for kept in (0.5, recipe.figure["marked"]):
        reached = np.flatnonzero(result.fraction <= kept)
        size = float(result.size[reached[0]]) if len(reached) else math.nan
        unit = "values changed" if result.norm == 0 else f"ℓ{_norm(result.norm)} pixel"
        yield Number(
            name=f"change against which no classifier keeps more than {kept:g} of a class", value=size, unit=unit
        )


def survival(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Smallest changes found, and the labels of drawn images."""
    norm = float(recipe.figure["norm"])
    unit = "values changed" if norm == 0 else f"ℓ{_norm(norm)} pixel"
    for of_set, words in ((False, "drawn images"), (True, "images of the set")):
        sizes = result.least(norm, of_set=of_set)
        yield Number(name=f"changes found, {words}", value=np.isfinite(sizes))
        yield Number(name=f"smallest change found, {words}", value=np.where(np.isinf(sizes), np.nan, sizes), unit=unit)
    drawn = result.counts.sum()
    names = _parts(result, classifiers)
    for k in np.flatnonzero(result.counts):
        interval = float(result.share_low[k]), float(result.share_high[k])
        yield Number(
            name=f"share of drawn images, {names[int(k)]}", value=float(result.counts[k] / drawn), interval=interval
        )


def _parts(result: Any, classifiers: Sequence[Classifier]) -> Sequence[str]:
    """Names of the classes that a survival looks at: the model's, or both halves of a lead."""
    if result.partition == "labels":
        return classifiers[0].class_names
    return ("lead above its median", "lead below its median")


def _norm(norm: float) -> str:
    return "∞" if norm == math.inf else f"{norm:g}"


def painting(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How many images of a class keep it."""
    radius = min(int(recipe.figure["radius"]), len(result.survivors) - 1)
    yield Number(name="images of the class", value=float(result.inside.sum()), unit="images")
    for field, words in (
        ("survivors", "images that keep it"),
        ("best", "images that any class can keep"),
        ("limit", "limit"),
    ):
        value = float(getattr(result, field)[radius])
        yield Number(name=f"{words}, changed pixels: {radius}", value=value, unit="images")


def enumeration(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Shares of all images, and how far they are from another label."""
    for k in np.flatnonzero(result.counts):
        share = float(result.counts[k] / result.counts.sum())
        yield Number(name=f"share of {_named(classifiers, int(k))}", value=share)
    known = result.distance[result.distance >= 0]
    if len(known):
        yield Number(name="mean distance to another label", value=float(known.mean()), unit="values")


def overlay(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Painted pixels until the label changes."""
    for words, values in (("the second image's class", result.needed()), ("another class", result.left())):
        for order, painted in (("by difference", values[:, :1]), ("random orders", values[:, 1:])):
            if painted.size:
                yield Number(name=f"pixels to {words}, {order}", value=per_sample(painted), unit="pixels")


# -- maps -------------------------------------------------------------------------------------------------------------


def paths(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """Steps and jumps of each path."""
    for place, words in enumerate(result.names):
        ratio, there = result.ratio[place], result.predicted[place] >= 0
        yield Number(name=f"steps, {words}", value=float(there.sum()))
        yield Number(name=f"jumps, {words}", value=float(result.jumps[place].sum()))
        if np.isfinite(ratio).any():
            yield Number(name=f"largest distance over a typical one, {words}", value=float(np.nanmax(ratio)))


def agreements(result: Any, recipe: Recipe, classifiers: Sequence[Classifier]) -> Numbers:
    """How often neighbours are of one class."""
    for field, words in (("label_agreement", "true"), ("predicted_agreement", "predicted")):
        for value, where in zip(getattr(result, field), ("on the map", "in the space", "by chance"), strict=True):
            yield Number(name=f"neighbours of one {words} class, {where}", value=value)


def maps(result: Any) -> Sequence[str]:
    """Names of the maps that are compared."""
    from core.geometry.local.local import MAPS

    return MAPS


def kinds(result: Any) -> Sequence[str]:
    """Names of the kinds of images."""
    from core.geometry.local.adversarial_comparison import KINDS

    return KINDS
