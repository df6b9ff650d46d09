"""What every analysis answered when its numbers were last meant to change: kept as a few values of each field.

    python -m tests.golden            what differs from what is kept, and by how much
    python -m tests.golden --write    keep the answers of this checkout, and print what changed

A field is kept as its shape, its type and at most `PROBES` values at even distances. Processors round differently, and
where a label hangs on the last digit it may be another one: all but `SHARE` of a field's values have to be within
`TOLERANCE` of what is kept, relative to the field's largest. `COUNTS` hang on the batches that were quickest when
measured, which are filled up: they may be four times as many, or as few. Fields of `ROUNDED` hang on rounding as a
whole and are compared by type, shape and size alone.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from core.analyses.table import TABLE
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.result import Result
from core.runtime.batches import set_threads
from core.runtime.progress import silent
from tests.quick import QUICK

FOLDER = Path(__file__).parent / "golden"
MODEL, IMAGES, ROWS = "demo:photos/standard", "demo:photos", (3, 17, 42, 60)
PROBES = 24
TOLERANCE = 1e-2
SHARE = 0.1
LEFT_OUT = {"seconds", "recipe", "fingerprint"}  # differs from run to run, is the question, holds libraries' versions
COUNTS = {"forwards", "gradients", "products"}
ROUNDED = {
    "*": {"residual", "asymmetry_ratio", "offset"},  # are rounding
    "curvature": {"angle"},  # what the search for the nearest point left over
    # a principal direction and its opposite are the same: which comes out is chance
    "curvature_section": {"u", "outline", "logits", "margin", "entropy", "confidence", "label"},
    "curvature_walk": {"frames", "height", "label", "logits", "margin", "confidence"},
    # UMAP starts from the same positions everywhere and leaves them by other roundings
    "map": {
        "background",
        "background_agreement",
        "background_confidence",
        "continuity",
        "correlation",
        "gap",
        "label_agreement",
        "positions",
        "predicted_agreement",
        "round_trip",
        "x",
        "y",
        "trustworthiness",
        "neighbour_agreement",
    },
    "map_path": {"home", "positions", "ratio", "distance", "gap", "confidence", "predicted"},
}


def question(name: str) -> tuple[Recipe, Classifier, ImageSet]:
    """The recipe of one analysis with the settings of `tests.quick`, its model and its images."""
    settings = {**{entry.name: entry.default for entry in TABLE[name].parameters}, **QUICK.get(name, {})}
    rows = ROWS[: max(1, TABLE[name].images(settings)[0])]
    recipe = Recipe.make(name, models=[MODEL], images=IMAGES, rows=rows, settings=QUICK.get(name))
    return recipe, load_classifier(MODEL, "cpu"), load_images(IMAGES)


def kept(name: str) -> dict[str, Any]:
    """What is kept of the answer of one analysis; nothing of a new one."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def kept_of(result: Result) -> dict[str, Any]:
    """What is kept of a result: plain values, field by field."""
    whole: dict[str, Any] = {"kind": type(result).__name__}
    for entry in fields(result):
        value = getattr(result, entry.name)
        if entry.name in LEFT_OUT:
            continue
        array = np.asarray(value)
        if array.dtype.kind == "O":
            whole[entry.name] = {"words": json.loads(json.dumps(value, default=str))}
            continue
        flat = array.ravel()
        probed = flat[np.linspace(0, flat.size - 1, min(PROBES, flat.size)).round().astype(int)] if flat.size else flat
        values = [_plain(each) for each in probed.tolist()]
        whole[entry.name] = {"shape": list(array.shape), "type": array.dtype.kind, "values": values}
        if array.dtype.kind in "fiu" and flat.size:
            finite = flat[np.isfinite(flat)].astype(np.float64)
            whole[entry.name]["largest"] = _plain(float(np.abs(finite).max())) if finite.size else 0.0
    return whole


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else str(value)


def differences(name: str, kept: dict[str, Any], found: dict[str, Any]) -> dict[str, str]:
    """Fields of an analysis that are not what is kept, and what they are instead."""
    rounded = ROUNDED["*"] | ROUNDED.get(name, set())
    told = {}
    for field in sorted(kept.keys() | found.keys()):
        old, new = kept.get(field), found.get(field)
        if old == new:
            continue
        if not isinstance(old, dict) or not isinstance(new, dict) or "values" not in old or "values" not in new:
            told[field] = f"{old} -> {new}"
        elif old["shape"] != new["shape"] or old["type"] != new["type"]:
            told[field] = f"shape {old['shape']} {old['type']} -> {new['shape']} {new['type']}"
        elif field in rounded:
            if new["type"] == "f" and not new.get("largest", 0.0) <= 10 * old.get("largest", 0.0) + 1e-6:
                told[field] = f"up to {old['largest']} -> up to {new['largest']}"
        elif field in COUNTS:
            if not old["values"][0] <= 4 * new["values"][0] <= 16 * old["values"][0]:
                told[field] = f"{old['values'][0]} -> {new['values'][0]}"
        elif (share := _share(old, new)) > SHARE:
            told[field] = f"{share:.0%} of {len(old['values'])} values: {old['values'][:4]} -> {new['values'][:4]}"
    return told


def _share(old: dict[str, Any], new: dict[str, Any]) -> float:
    """The share of kept values that are others now."""
    if old["type"] not in "fiu":
        return float(np.mean([a != b for a, b in zip(old["values"], new["values"], strict=True)] or [0]))
    a, b = (np.array([float(each) for each in side["values"]]) for side in (old, new))
    if not a.size:
        return 0.0
    near = np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * float(old.get("largest", 0.0)), equal_nan=True)
    return float(1 - near.mean())


def main() -> None:
    set_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="analyses (default: all)")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    for name in args.names or TABLE:
        recipe, classifier, images = question(name)
        found = kept_of(recipe.run([classifier], images, silent))
        for field, told in differences(name, kept(name), found).items():
            print(f"{name}.{field}: {told}", flush=True)
        if args.write:
            FOLDER.mkdir(exist_ok=True)
            lines = ",\n".join(f"{json.dumps(field)}: {json.dumps(entry)}" for field, entry in found.items())
            (FOLDER / f"{name}.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
