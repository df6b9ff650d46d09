"""The engine of Boundary Atlas: where, and how, an image classifier changes its mind.

The names below are loaded on first use, so that importing `core` costs nothing. Results of `core.geometry` need no
line here to be read from files; a line makes them part of the public interface.
"""

from functools import cache
from importlib import import_module
from typing import Any

_HOME = {
    "AdversarialComparison": "core.geometry.local.adversarial_comparison",
    "Agreement": "core.geometry.planes.agreement",
    "BoundaryPoints": "core.geometry.boundary.deepfool",
    "BoundaryProfile": "core.geometry.planes.boundary_profile",
    "Chart": "core.figures.drawing.chart",
    "CheckpointError": "core.errors",
    "Classifier": "core.models.classifier",
    "CurvatureAtImage": "core.geometry.curvature.at_image",
    "CurvatureProfile": "core.geometry.curvature.profile",
    "CurvatureScale": "core.geometry.curvature.scale",
    "CurvatureSection": "core.geometry.curvature.section",
    "CurvatureSummary": "core.geometry.curvature.summary",
    "CurvatureTransfer": "core.geometry.shared_directions.mean_shape_operator",
    "CurvatureWalk": "core.geometry.curvature.walk",
    "CurvedMap": "core.geometry.maps.curvature",
    "DecisionMap": "core.geometry.maps.background",
    "DetectionExhibit": "core.geometry.detector.evaluation",
    "DirectionNoise": "core.geometry.shared_directions.sharing",
    "DirectionOverlap": "core.geometry.shared_directions.principal_angles",
    "DirectionSharing": "core.geometry.shared_directions.sharing",
    "EmbeddingMap": "core.geometry.maps.maps",
    "EveryClass": "core.geometry.limits.enumeration",
    "EveryImage": "core.geometry.limits.enumeration",
    "Fragmentation": "core.geometry.planes.fragmentation",
    "ImageDistances": "core.geometry.level_sets.image_distances",
    "ImageError": "core.errors",
    "ImageSet": "core.images.image_set",
    "LayerGeometry": "core.geometry.local.by_layer",
    "LevelSetAtImage": "core.geometry.level_sets.at_image",
    "LevelSetPaths": "core.geometry.level_sets.traverse",
    "LevelSetWidths": "core.geometry.level_sets.widths",
    "LevelStar": "core.geometry.level_sets.star",
    "LevelTriangle": "core.geometry.level_sets.at_image",
    "LinearPaths": "core.geometry.level_sets.segments",
    "LocalAtImage": "core.geometry.local.at_image",
    "LocalGeometry": "core.geometry.local.local",
    "MapPaths": "core.geometry.maps.paths",
    "NoiseForecast": "core.geometry.corruptions.noise",
    "Overlay": "core.geometry.limits.overlay",
    "PaintedClass": "core.geometry.limits.painting",
    "PathAtImage": "core.geometry.regions.at_image",
    "PerturbationScores": "core.geometry.detector.scores",
    "PixelProfile": "core.geometry.sparse.pixel_profile",
    "Placement": "core.geometry.maps.maps",
    "Plane": "core.geometry.planes.planes",
    "PrimeDraws": "core.geometry.corruptions.prime_draws",
    "QueryBudgetCurve": "core.geometry.sparse.benchmark",
    "RadiusSweep": "core.geometry.local.by_radius",
    "Recipe": "core.recipes.recipe",
    "RecipeError": "core.errors",
    "RecipeRun": "core.recipes.run",
    "RegionGraph": "core.geometry.regions.region_graph",
    "RegionPaths": "core.geometry.regions.connect",
    "RegionStatistics": "core.geometry.planes.fragmentation",
    "Relabelled": "core.geometry.boundary.relabel",
    "ClassifierResult": "core.result",
    "Result": "core.result",
    "RobustnessBound": "core.geometry.limits.bounds",
    "Sections": "core.geometry.curvature.normal_sections",
    "SeverityPath": "core.geometry.corruptions.severity_path",
    "SeveritySweep": "core.geometry.corruptions.severity_sweep",
    "SharedDirections": "core.geometry.shared_directions.mean_shape_operator",
    "Slice": "core.geometry.planes.slices",
    "SparseAtImage": "core.geometry.sparse.at_image",
    "SparsePerturbation": "core.geometry.sparse.sparse_perturbation",
    "StarLikeness": "core.geometry.level_sets.star_likeness",
    "Store": "core.recipes.store",
    "SubspaceDistances": "core.geometry.subspaces.subspace_distances",
    "SubspaceNoise": "core.geometry.shared_directions.subspace_noise",
    "SubspaceOverlap": "core.geometry.shared_directions.principal_angles",
    "Subspaces": "core.geometry.subspaces.subspaces",
    "SupportStatistics": "core.geometry.sparse.support_statistics",
    "Survival": "core.geometry.limits.survival",
    "Transfer": "core.geometry.sparse.transfer",
    "Triangle": "core.geometry.level_sets.triangles",
    "adversarial_comparison": "core.geometry.local.adversarial_comparison",
    "agreement": "core.geometry.planes.agreement",
    "analytic_classifier": "core.models.analytic",
    "batch_size": "core.runtime.batches",
    "boundary_points": "core.geometry.boundary.deepfool",
    "boundary_profile": "core.geometry.planes.boundary_profile",
    "connect": "core.geometry.regions.connect",
    "corrupt": "core.geometry.corruptions.corruptions",
    "curvature_profile": "core.geometry.curvature.profile",
    "curvature_scale": "core.geometry.curvature.scale",
    "curvature_section": "core.geometry.curvature.section",
    "curvature_spans": "core.geometry.shared_directions.subspace_noise",
    "curvature_transfer": "core.geometry.shared_directions.mean_shape_operator",
    "curvature_walk": "core.geometry.curvature.walk",
    "curved_map": "core.geometry.maps.curvature",
    "decision_map": "core.geometry.maps.background",
    "detect_perturbed": "core.geometry.detector.scores",
    "detection_exhibit": "core.geometry.detector.evaluation",
    "direction_noise": "core.geometry.shared_directions.sharing",
    "direction_overlap": "core.geometry.shared_directions.principal_angles",
    "direction_sharing": "core.geometry.shared_directions.sharing",
    "embed": "core.geometry.maps.maps",
    "every_class": "core.geometry.limits.enumeration",
    "every_image": "core.geometry.limits.enumeration",
    "extremal_survival": "core.geometry.limits.extremal",
    "fragmentation": "core.geometry.planes.fragmentation",
    "image_distances": "core.geometry.level_sets.image_distances",
    "layer_geometry": "core.geometry.local.by_layer",
    "layer_paths": "core.geometry.local.layers",
    "level_set_widths": "core.geometry.level_sets.widths",
    "linear_paths": "core.geometry.level_sets.segments",
    "linearised": "core.models.null",
    "load_classifier": "core.models.load",
    "load_images": "core.images.load",
    "local_geometry": "core.geometry.local.local",
    "mantel": "core.geometry.local.mantel",
    "map_paths": "core.geometry.maps.paths",
    "noise_forecast": "core.geometry.corruptions.noise",
    "norm_product": "core.geometry.local.norm_product",
    "overlay": "core.geometry.limits.overlay",
    "painted_class": "core.geometry.limits.painting",
    "pixel_profile": "core.geometry.sparse.pixel_profile",
    "prime_draws": "core.geometry.corruptions.prime_draws",
    "principal_direction": "core.geometry.curvature.principal_direction",
    "query_budget_curve": "core.geometry.sparse.benchmark",
    "radius_sweep": "core.geometry.local.by_radius",
    "region_graph": "core.geometry.regions.region_graph",
    "region_statistics": "core.geometry.planes.fragmentation",
    "relabel": "core.geometry.boundary.relabel",
    "robustness_bound": "core.geometry.limits.bounds",
    "run_recipe": "core.recipes.run",
    "run_series": "core.recipes.series",
    "sections": "core.geometry.curvature.normal_sections",
    "severity_at": "core.geometry.corruptions.corruptions",
    "severity_path": "core.geometry.corruptions.severity_path",
    "severity_sweep": "core.geometry.corruptions.severity_sweep",
    "shared_directions": "core.geometry.shared_directions.mean_shape_operator",
    "slice_chart": "core.figures.charts.planes.slices",
    "slice_plane": "core.geometry.planes.slices",
    "sparse_perturbation": "core.geometry.sparse.sparse_perturbation",
    "star_likeness": "core.geometry.level_sets.star_likeness",
    "subspace_distances": "core.geometry.subspaces.subspace_distances",
    "subspace_noise": "core.geometry.shared_directions.subspace_noise",
    "subspace_overlap": "core.geometry.shared_directions.principal_angles",
    "support_statistics": "core.geometry.sparse.support_statistics",
    "survival": "core.geometry.limits.survival",
    "transfer": "core.geometry.sparse.transfer",
    "traverse": "core.geometry.level_sets.traverse",
    "triangle": "core.geometry.level_sets.triangles",
    "untrained": "core.models.null",
    "write_figure": "core.figures.drawing.paper",
}

RENAMED = {  # public names of version 0.1, which programs and saved results may still use
    "CurvatureCard": "CurvatureAtImage",
    "DirectionSensitivity": "DirectionNoise",
    "LevelSetCard": "LevelSetAtImage",
    "LocalCard": "LocalAtImage",
    "LocalKinds": "AdversarialComparison",
    "PathCard": "PathAtImage",
    "Race": "QueryBudgetCurve",
    "SeverityWalk": "SeverityPath",
    "SparseCard": "SparseAtImage",
    "SubspaceMargins": "SubspaceDistances",
    "SubspaceSensitivity": "SubspaceNoise",
    "Supports": "SupportStatistics",
    "direction_sensitivity": "direction_noise",
    "follow": "run_recipe",
    "follow_series": "run_series",
    "local_kinds": "adversarial_comparison",
    "principal_bend": "principal_direction",
    "race": "query_budget_curve",
    "severity_walk": "severity_path",
    "subspace_margins": "subspace_distances",
    "subspace_sensitivity": "subspace_noise",
    "supports": "support_statistics",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    name = RENAMED.get(name, name)
    home = _HOME.get(name) or (_results().get(name) if name[:1].isupper() else None)
    if home is None:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    return getattr(import_module(home), name)


@cache
def _results() -> dict[str, str]:
    """The modules of the dataclasses of `core.geometry`, by class; found in the sources, without importing them."""
    import re
    from pathlib import Path

    folder = Path(__file__).parent
    return {
        name: ".".join(("core", *path.relative_to(folder).with_suffix("").parts))
        for path in sorted((folder / "geometry").rglob("*.py"))
        for name in re.findall(r"^@dataclass.*\nclass (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def __dir__() -> list[str]:
    return __all__
