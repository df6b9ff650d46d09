"""The numbers that a figure's text would give, by analysis: few, with their units, never a mean of axes or of bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.exports import worded_numbers
from core.exports.number import Maker, Number, columns, known, samples

if TYPE_CHECKING:
    from core.models.classifier import Classifier
    from core.recipes.recipe import Recipe
    from core.result import Result


def headlines(recipe: Recipe, result: Result, classifiers: Sequence[Classifier]) -> tuple[Number, ...]:
    """The numbers of one result that are worth a line.

    Args:
        recipe: what was asked.
        result: of one model, or of all where the analysis is joint.
        classifiers: that model, or all.

    Returns:
        Numbers in the order in which a text would give them; without those that are not known.
    """
    found = (each for make in HEADLINES[recipe.analysis] for each in make(result, recipe, classifiers))
    return tuple(each for each in found if not np.isnan(np.asarray(each.value, float)).all() and np.size(each.value))


_PLANE_WALK = ("curvature", "normal_curvature:curvature of the normal section", "distance:distance to the boundary")

HEADLINES: Mapping[str, tuple[Maker, ...]] = {
    "slice": (worded_numbers.slice_shares,),
    "profile": (
        known(
            "smallest:smallest distance:ℓ2 pixel",
            "median:median distance:ℓ2 pixel",
            "largest:largest distance:ℓ2 pixel",
            "anisotropy:largest over smallest distance",
        ),
        worded_numbers.reached,
    ),
    "fragmentation": (samples("regions:regions of a plane"), worded_numbers.finer_planes),
    "margins": (worded_numbers.margins,),
    "margin_curve": (worded_numbers.margins,),
    "level_set": (
        samples(
            "source_confidence:confidence at the source",
            "end_confidence:confidence at the end",
            "end_distance:distance from the end to the target:ℓ2 pixel",
            "ratio:distance to the target, end over source",
            "rmse:rms difference of end and target:pixel",
            "largest:largest difference of end and target",
            "ssim:SSIM of end and target",
            "straight:least confidence on the straight way to the end",
            "survives_rounding:ends that survive rounding",
        ),
    ),
    "level_triangle": (worded_numbers.triangle,),
    "level_star": (
        worded_numbers.star,
        samples(
            "ratio:distance to the target, end over source",
            "width:width of the level set at an end",
            "end_confidence:confidence at the end",
        ),
    ),
    "sparse": (
        samples(
            "found:images flipped",
            "pixels:pixels changed",
            "entries:values changed",
            "l2:length of the change",
            "l1:sum of the changes",
            "linf:largest change",
            "survives_rounding:changes that survive rounding",
        ),
    ),
    "pixel": (worded_numbers.pixel,),
    "supports": (
        samples("found:images flipped", "pixels:pixels changed", "entries:values changed"),
        worded_numbers.supports,
        samples("bright:share of the support on bright pixels", "bright_chance:the same by chance"),
        known(
            "stability:IoU of two runs",
            "stability_chance:IoU of two runs, by chance",
            "same_class_iou:IoU of images of one class",
            "other_class_iou:IoU of images of two classes",
            "image_chance_iou:IoU of two images, by chance",
        ),
    ),
    "race": (worded_numbers.race,),
    "transfer": (worded_numbers.transfer,),
    "severity": (known("lost_at:least severity with another class"), worded_numbers.severity),
    "corruption": (worded_numbers.corruption,),
    "noise": (
        columns(
            lambda result: [f"standard deviation {value:.3g}" for value in result.deviations],
            "forecast:share correct, forecast",
            "measured:share correct, measured",
            "disagreement:share unlike the linearised model",
        ),
    ),
    "augmentation": (worded_numbers.augmentation,),
    "local": (
        samples(
            "margin",
            "length_of_margin:margin over the steepest slope met:ℓ2 pixel",
            "label_ratio:distance of the boundary, 5 % over 95 % quantile",
            "censored:share of rays that meet no other class",
            "asymmetry:asymmetry, mean over directions",
            "residual:off the linearisation, mean over directions",
            "lipschitz_point:slope at the image",
            "lipschitz_pairs:slope between pairs of points",
            "lipschitz_ball:slope in the ball",
            "lipschitz_margin:slope of a margin in the ball",
            "mantel_raw:Mantel score",
            "mantel_linear:Mantel score of the linearisation",
            "mantel_random:Mantel score of a random linear map",
        ),
        columns(worded_numbers.maps, "variation:variation of the gain", "effective:share of directions that matter"),
        known("product:product of the layers' norms"),
    ),
    "local_layers": (
        columns(
            lambda result: [f"layer {name}" for name in result.layers],
            "mantel_raw:Mantel score",
            "variation:variation of the gain",
            "asymmetry",
            "residual:off the linearisation",
            "prefix:slope up to the layer",
            "suffix:slope behind the layer",
        ),
    ),
    "local_sweep": (
        samples("first_kink:distance of the first kink"),
        columns(
            lambda result: [f"radius {value:.3g}" for value in result.radius],
            "residual:off the linearisation",
            "asymmetry",
            "variation:variation of the gain",
            "flipped:share of directions with another class",
        ),
    ),
    "local_kinds": (
        samples("found:images that the attack changes"),
        columns(
            worded_numbers.kinds,
            "lipschitz_point:slope at the image",
            "lipschitz_ball:slope in the ball",
            "margin",
            "mantel_raw:Mantel score",
            "variation:variation of the gain",
            "asymmetry",
        ),
    ),
    "path": (
        samples(
            "found:pairs with a path",
            "distance:straight distance",
            "length:length of the path",
            "length_ratio:length of the path over the straight one",
            "min_margin:least margin on the path",
            "segments",
            "resolution:widest gap between samples",
        ),
        known("straight_share:share of the straight segment in the region", "outside:out of the pixel box, at most"),
    ),
    "region_graph": (worded_numbers.graph,),
    "curvature": (
        samples("distance:distance to the boundary"),
        worded_numbers.ends,
        samples(
            "mean:mean curvature:1/ℓ2 pixel",
            "asymmetry:sum of negative over sum of positive curvatures",
            "flat_fraction:share of directions with curvature x distance below 0.1",
            "participation:directions that share the curvature",
        ),
    ),
    "curvature_section": (
        known(
            *_PLANE_WALK,
            "curve_curvature:curvature of the drawn curve",
            "tilt:tilt of the plane",
        ),
    ),
    "curvature_walk": (known(*_PLANE_WALK), worded_numbers.walk_off),
    "curvature_scale": (
        columns(
            lambda result: [f"scale {value:.3g}" for value in result.scale],
            "largest:most positive curvature",
            "smallest:most negative curvature",
        ),
    ),
    "shared_directions": (worded_numbers.sharing,),
    "direction_sensitivity": (samples("distance:distance to the boundary"), worded_numbers.sensitivity),
    "direction_overlap": (worded_numbers.overlap, known("chance:overlap by chance")),
    "detector": (worded_numbers.detector,),
    "detector_attacks": (worded_numbers.detector,),
    "limits": (worded_numbers.limits,),
    "survival": (worded_numbers.survival,),
    "painting": (worded_numbers.painting,),
    "enumeration": (worded_numbers.enumeration, known("violations:sizes of change at which a limit is broken")),
    "overlay": (worded_numbers.overlay,),
    "map": (
        known(
            "trustworthiness",
            "continuity",
            "neighbour_agreement:neighbours kept",
            "chance:neighbours kept by a random map",
            "correlation:correlation of distances",
            "seed_agreement:neighbours kept between seeds",
            "background_agreement:background that agrees with the model",
            "background_chance:the same by chance",
        ),
        worded_numbers.agreements,
    ),
    "map_path": (worded_numbers.paths,),
}
