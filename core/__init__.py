"""The engine of Boundary Atlas: where, and how, an image classifier changes its mind.

The names below are loaded on first use, so that importing `core` costs nothing.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Agreement": "core.geometry.agreement",
    "BoundaryPoints": "core.geometry.boundary",
    "BoundaryProfile": "core.geometry.profiles",
    "Chart": "core.figures.chart",
    "CheckpointError": "core.checkpoints",
    "Classifier": "core.classifier",
    "CurvatureProfile": "core.geometry.curvature",
    "CurvatureScale": "core.geometry.curvature_scale",
    "DetectionExhibit": "core.geometry.detection",
    "ImageDistances": "core.geometry.image_distances",
    "ImageError": "core.images",
    "ImageSet": "core.images",
    "LevelSetPaths": "core.geometry.level_sets",
    "LevelSetWidths": "core.geometry.widths",
    "LinearPaths": "core.geometry.segments",
    "NoiseForecast": "core.geometry.noise",
    "PerturbationScores": "core.geometry.detector",
    "PixelProfile": "core.geometry.pixel_profile",
    "Plane": "core.geometry.planes",
    "PrimeDraws": "core.geometry.prime_draws",
    "Race": "core.geometry.race",
    "Recipe": "core.recipe",
    "RecipeError": "core.recipe",
    "Result": "core.result",
    "SeveritySweep": "core.geometry.severity",
    "SeverityWalk": "core.geometry.walk",
    "Slice": "core.geometry.slices",
    "SparsePerturbation": "core.geometry.sparse",
    "StarLikeness": "core.geometry.star_likeness",
    "Store": "core.store",
    "SubspaceMargins": "core.geometry.margins",
    "Subspaces": "core.geometry.subspaces",
    "Supports": "core.geometry.supports",
    "Transfer": "core.geometry.transfer",
    "Triangle": "core.geometry.triangles",
    "agreement": "core.geometry.agreement",
    "boundary_points": "core.geometry.boundary",
    "boundary_profile": "core.geometry.profiles",
    "corrupt": "core.geometry.corruptions",
    "curvature_profile": "core.geometry.curvature",
    "curvature_scale": "core.geometry.curvature_scale",
    "curvature_spans": "core.geometry.sensitivity",
    "curvature_transfer": "core.geometry.curved_directions",
    "detect_perturbed": "core.geometry.detector",
    "detection_exhibit": "core.geometry.detection",
    "fragmentation": "core.geometry.regions",
    "image_distances": "core.geometry.image_distances",
    "level_set_widths": "core.geometry.widths",
    "linear_paths": "core.geometry.segments",
    "load_classifier": "core.checkpoints",
    "load_images": "core.images",
    "noise_forecast": "core.geometry.noise",
    "pixel_profile": "core.geometry.pixel_profile",
    "prime_draws": "core.geometry.prime_draws",
    "race": "core.geometry.race",
    "region_statistics": "core.geometry.regions",
    "sections": "core.geometry.sections",
    "severity_at": "core.geometry.corruptions",
    "severity_sweep": "core.geometry.severity",
    "severity_walk": "core.geometry.walk",
    "shared_directions": "core.geometry.curved_directions",
    "slice_chart": "core.figures.planes",
    "slice_plane": "core.geometry.slices",
    "sparse_perturbation": "core.geometry.sparse",
    "star_likeness": "core.geometry.star_likeness",
    "subspace_margins": "core.geometry.margins",
    "subspace_overlap": "core.geometry.curved_directions",
    "subspace_sensitivity": "core.geometry.sensitivity",
    "supports": "core.geometry.supports",
    "transfer": "core.geometry.transfer",
    "traverse": "core.geometry.level_sets",
    "triangle": "core.geometry.triangles",
    "write_figure": "core.figures.paper",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
