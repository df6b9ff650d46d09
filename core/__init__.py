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
    "ImageError": "core.images",
    "ImageSet": "core.images",
    "NoiseForecast": "core.geometry.noise",
    "Plane": "core.geometry.planes",
    "Recipe": "core.recipe",
    "RecipeError": "core.recipe",
    "Result": "core.result",
    "SeveritySweep": "core.geometry.severity",
    "Slice": "core.geometry.slices",
    "Store": "core.store",
    "agreement": "core.geometry.agreement",
    "boundary_points": "core.geometry.boundary",
    "boundary_profile": "core.geometry.profiles",
    "corrupt": "core.geometry.corruptions",
    "fragmentation": "core.geometry.regions",
    "load_classifier": "core.checkpoints",
    "load_images": "core.images",
    "noise_forecast": "core.geometry.noise",
    "region_statistics": "core.geometry.regions",
    "severity_at": "core.geometry.corruptions",
    "severity_sweep": "core.geometry.severity",
    "slice_chart": "core.figures.planes",
    "slice_plane": "core.geometry.slices",
    "write_figure": "core.figures.paper",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
