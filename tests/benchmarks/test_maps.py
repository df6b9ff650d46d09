"""Maps: seconds for all demo test images, forwards and recall of the divergence, reopening; `make bench`.

Only correctness is asserted; what is said is the time on this machine, and ratios within one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.geometry.maps.divergence import DivergenceSearch
from core.geometry.maps.layout import lay_out, principal_start, warm_up
from core.geometry.maps.maps import embed
from core.images.load import load_images
from core.models.load import load_classifier
from core.recipes.recipe import Recipe
from core.recipes.store import Store
from core.runtime.cost import counting
from core.runtime.progress import silent

PAIRED = 300  # images whose divergences of all pairs are computed for the recall
NEIGHBOURS = 15


@pytest.mark.parametrize("source", ["photos", "digits"])
def test_all_demo_test_images(source: str, say: Callable[[str], None], tmp_path: Path) -> None:
    classifier, images = load_classifier(f"demo:{source}/standard"), load_images(f"demo:{source}")
    classifier.batches()  # the batch shape is measured before the clock starts
    warm_up()
    recipe = Recipe.make("map", models=[f"demo:{source}/standard"], images=f"demo:{source}", rows=[0, 1])
    taken, busy = [], []
    for number in range(3):
        begin, used = time.perf_counter(), time.process_time()
        found: Any = recipe.with_settings(seed=number).run([classifier], images, silent)
        taken.append(time.perf_counter() - begin)
        busy.append(time.process_time() - used)
    store = Store(tmp_path)
    store.fetch(recipe, [classifier], images)
    begin = time.perf_counter()
    again: Any = store.fetch(recipe, [classifier], images)
    recipe.chart([again], [classifier], images)
    reopened = time.perf_counter() - begin
    say(
        f"{source}: map of {len(images)} images with 3 seeds and background: {statistics.median(taken):.1f} s (goal 15;"
        f" {statistics.median(busy):.1f} s of the processor), reopened from the store and drawn in {reopened:.2f} s"
        f" (goal 1); trustworthiness {found.trustworthiness:.3f}, {found.neighbour_agreement:.0%} of neighbours kept"
    )
    assert found.trustworthiness > 0.95
    assert len(again.positions) == len(images)


@pytest.mark.parametrize("source", ["photos", "digits"])
def test_forwards_and_recall_of_the_divergence(source: str, say: Callable[[str], None]) -> None:
    classifier, images = load_classifier(f"demo:{source}/standard"), load_images(f"demo:{source}")
    pixels = classifier.accept(images.pixels[:PAIRED])
    with torch.inference_mode():
        logits = classifier.batches()(classifier, pixels)
        with counting() as cost:
            search = DivergenceSearch(classifier, pixels, logits)
            _, index, _ = search.nearest(pixels, logits, NEIGHBOURS - 1, same=True)
        spent = cost.forwards + PAIRED
        pairs = torch.triu_indices(PAIRED, PAIRED, 1).T
        lengths = search.lengths(pixels, logits.double().softmax(1), pairs)
    flat = pixels.flatten(1).double()
    apart = (flat[pairs[:, 0]] - flat[pairs[:, 1]]).norm(dim=1).cpu()
    published = torch.full((PAIRED, PAIRED), torch.inf, dtype=torch.float64)  # with the largest of all pairs
    value = 0.65 * apart / apart.max() + 0.35 * lengths / lengths.max()
    published[pairs[:, 0], pairs[:, 1]] = published[pairs[:, 1], pairs[:, 0]] = value
    truth = published.topk(NEIGHBOURS - 1, 1, largest=False).indices
    recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(index.numpy(), truth.numpy(), strict=True)])
    recall /= NEIGHBOURS - 1
    whole = embed(classifier, images.pixels, "divergence")
    say(
        f"{source}: divergence of {PAIRED} images: {spent:,} forwards, 1/{search.published() / spent:.1f} of the"
        f" published {search.published():,} (goal 1/6), recall {recall:.3f} (goal 0.95); of all {len(images)} images"
        f" {whole.forwards:,}, 1/{whole.all_pairs / whole.forwards:.1f}, {whole.seconds:.1f} s"
    )
    assert recall >= 0.95
    assert 6 * spent <= search.published()


def test_new_images_beside_those_of_umap_learn(say: Callable[[str], None]) -> None:
    """Places of images left out, by neighbours kept, beside umap-learn's transform of the same images."""
    import warnings

    import umap

    classifier, images = load_classifier("demo:photos/standard"), load_images("demo:photos")
    taken = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    there, here = taken[:400], taken[400:]
    found = embed(classifier, images.pixels[there])
    placed = found.transform(classifier, images.pixels[here])
    theirs = umap.UMAP(n_neighbors=15, min_dist=0.4, metric="cosine", random_state=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(found.vectors)
        fresh = embed(classifier, images.pixels[here], neighbours=4).vectors
        begin = time.perf_counter()
        moved = theirs.transform(fresh)
        seconds = time.perf_counter() - begin

    def kept(places: np.ndarray, positions: np.ndarray) -> float:
        nearest = np.linalg.norm(places[:, None] - positions, axis=2).argsort(1)[:, :10]
        shared = [len(np.intersect1d(a, b)) for a, b in zip(nearest, placed.neighbours[:, :10], strict=True)]
        return float(np.mean(shared)) / 10

    ours, other = kept(placed.positions, found.positions), kept(moved, theirs.embedding_)
    say(
        f"140 images on a map of 400: {ours:.0%} of their 10 neighbours kept in {placed.seconds:.2f} s; umap-learn's"
        f" transform {other:.0%} in {seconds:.2f} s, its first call"
    )
    assert ours > 0.9 * other


def test_layouts_take_what_umap_learn_takes(alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    import umap

    from core.geometry.maps.layout import curve, fuzzy_graph
    from core.geometry.maps.neighbours import comparable, nearest

    classifier, images = load_classifier("demo:photos/standard"), load_images("demo:photos")
    vectors = torch.from_numpy(embed(classifier, images.pixels).vectors)

    def ours() -> None:
        graph = fuzzy_graph(*nearest(vectors, vectors, 14, "cosine", same=True))
        lay_out(graph, principal_start(comparable(vectors, "cosine"), 0), *curve(0.1), 0)

    def theirs() -> None:
        umap.UMAP(n_neighbors=15, metric="cosine", random_state=0, n_jobs=1).fit(vectors.numpy())

    pair = alternate(ours, theirs, 3)
    say(f"layout of {len(vectors)} images: {pair.ratio:.2f} of umap-learn's time ({pair.spread})")
