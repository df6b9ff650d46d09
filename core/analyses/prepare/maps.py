"""Maps of many images, and paths followed on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from core.analyses.inputs import Inputs
from core.analyses.prepare.map_rows import map_rows
from core.geometry.level_sets.step import Mode
from core.geometry.maps.background import DecisionMap, decision_map
from core.geometry.maps.curvature import curved_map
from core.geometry.maps.maps import EmbeddingMap, embed
from core.geometry.maps.paths import MapPaths, map_paths
from core.runtime.cost import CountedCache, counting
from core.runtime.progress import OnProgress, part_of

_recent: CountedCache[tuple[object, ...], EmbeddingMap] = CountedCache(4)  # a path on a map needs the map again


def map_of_set(inputs: Inputs, *, resolution: int, curved: int, **settings: Any) -> DecisionMap:
    """The map of the set with the predictions between its images, and the curvature near `curved` of them."""
    classifier, on_progress = inputs.classifier, inputs.on_progress
    laid, drawn = (0.2, 0.3) if curved else (0.7, 1.0)  # fractions done, measured at the default settings
    found = _embedded(inputs, on_progress=part_of(on_progress, 0.0, laid), **settings)
    on_progress(laid, found)
    made = decision_map(classifier, found, resolution=resolution, on_progress=part_of(on_progress, laid, drawn))
    if not curved:
        return made
    on_progress(drawn, made)
    pixels = inputs.images[found.row.tolist()].pixels
    report = part_of(on_progress, drawn, 1.0)
    return curved_map(classifier, made, pixels, count=curved, seed=settings["seed"], on_progress=report)


def path_on_map(
    inputs: Inputs,
    *,
    kind: Any,
    steps: int,
    corruption: str,
    length: float,
    slice_plane: Any,
    slice_u: str,
    slice_v: str,
    extent: Any,
    walk_mode: Mode,
    walk_delta: float,
    walk_steps: int,
    **settings: Any,
) -> MapPaths:
    """Rows of images, see `core.analyses.prepare.map_rows.map_rows`, placed on the map of the set."""
    classifier, on_progress = inputs.classifier, inputs.on_progress
    found = _embedded(inputs, on_progress=part_of(on_progress, 0.0, 0.5), **settings)
    followed = map_rows(
        classifier,
        inputs.reference,
        inputs.images,
        inputs.rows,
        kind,
        steps=steps,
        corruption=corruption,
        length=length,
        plane=slice_plane,
        u=slice_u,
        v=slice_v,
        extent=extent,
        walk=(walk_mode, walk_delta, walk_steps),
    )
    on_progress(0.6)
    return map_paths(
        classifier,
        found,
        followed.paths,
        names=followed.names,
        kind=kind,
        tick=part_of(on_progress, 0.6, 1.0),
    )


def _embedded(inputs: Inputs, *, count: int, on_progress: OnProgress, **settings: Any) -> EmbeddingMap:
    """The map of a set, or of `count` of its images; recent maps are cached, because paths need them too."""
    classifier, images = inputs.classifier, inputs.images
    taken = _drawn(len(images), count, settings["seed"])
    chosen = images if len(taken) == len(images) else images[taken]
    whole = (classifier.fingerprint, chosen.digest, tuple(chosen.labels.tolist()), *sorted(settings.items()))
    key = whole if classifier.fingerprint else None
    found = _recent.get(key)
    if found is None:
        with counting() as cost:
            found = embed(classifier, chosen.pixels, labels=chosen.labels, on_progress=on_progress, **settings)
        found = replace(found, row=np.array(taken, np.int32))
        _recent.put(key, found, cost)
    return found


def _drawn(size: int, count: int, seed: int) -> list[int]:
    """All rows, or `count` of them at random, in ascending order."""
    if size <= count:
        return list(range(size))
    return sorted(torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count].tolist())
