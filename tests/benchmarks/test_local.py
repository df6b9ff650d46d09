"""Local properties: time beside bare forwards and backwards, and Mantel's p beside scikit-bio; `make bench`.

Only correctness is asserted; times are ratios within one run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch

from core.geometry.local.jacobian import Outputs
from core.geometry.local.local import local_geometry
from core.geometry.local.mantel import distances, mantel
from core.images.load import load_images
from core.models.load import load_classifier


@pytest.mark.parametrize("dataset", ["digits", "photos"])
@pytest.mark.parametrize("count", [1, 8])
def test_the_default_panel(dataset: str, count: int, alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    classifier = load_classifier(f"demo:{dataset}/standard")
    images = load_images(f"demo:{dataset}").pixels[3 : 3 + count].to(classifier.device)
    size = Outputs(classifier).size
    found = local_geometry(classifier, images, 0.5)  # warms up what is measured and compiled once

    def bare() -> None:
        batch = images[torch.arange(size, device=images.device) % count]
        with torch.no_grad():
            for _ in range(-(-found.forwards // size)):
                classifier(batch)
        for _ in range(-(-found.gradients // count)):  # Jacobians: one backward per output, on the images there are
            pixels = images.clone().requires_grad_()
            torch.autograd.grad(classifier(pixels)[:, 0].sum(), pixels)

    pair = alternate(lambda: local_geometry(classifier, images, 0.5), bare)
    say(
        f"{dataset}, {count} image(s): {statistics.median(pair.first):.2f} s, {pair.ratio:.2f} of its"
        f" {found.forwards:,} forwards and {found.gradients:,} gradients run bare ({pair.spread}; goal 1.5)"
    )
    assert (found.lipschitz_point <= found.lipschitz_ball * (1 + 1e-6)).all()
    assert (found.status == "measured").all()


def test_mantel_of_256_points(alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    oracle = pytest.importorskip("skbio.stats.distance").mantel
    points = torch.randn((1, 256, 50), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = distances(points), distances(points[..., :5])
    a, b = first[0].numpy(), second[0].numpy()
    ours = mantel(first, second)
    theirs, p, _ = oracle(a, b, permutations=999)
    assert float(ours.score[0]) == pytest.approx(theirs)
    assert float(ours.p[0]) == pytest.approx(p, abs=0.02)
    pair = alternate(lambda: mantel(first, second), lambda: oracle(a, b, permutations=999))
    say(f"Mantel, 256 points, 999 permutations: {pair.ratio:.2f} of scikit-bio's time ({pair.spread}; goal 1.5)")
