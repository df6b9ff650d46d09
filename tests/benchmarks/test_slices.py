"""What slices cost, as ratios within one run, beside the goals; `make bench`. Only correctness is asserted.

BENCH_ALL=1 measures the 1024 x 1024 slices on all five planes instead of two.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.planes.boundary_profile import boundary_profile
from core.geometry.planes.planes import Extent, Plane, float32_floor
from core.geometry.planes.slices import Slice, slice_plane
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from tests.truths import BatchSize

ROWS = ((3, 17, 42), (5, 100, 400), (61, 250, 330), (10, 185, 520), (200, 310, 460))
pytestmark = pytest.mark.timeout(1800)

SHARES = {512: 0.06, 1024: 0.03}  # of the dense forwards, at most


def demo(rows: tuple[int, int, int] = ROWS[0], dataset: str = "photos") -> tuple[Classifier, Plane, Extent]:
    classifier, images = load_classifier(f"demo:{dataset}/standard"), load_images(f"demo:{dataset}")
    anchors = images[list(rows)].pixels
    plane = Plane.through(*anchors)
    return classifier, plane, plane.square(plane.to_plane(anchors).numpy())


def resnet() -> tuple[Classifier, Plane, Extent]:
    """A resnet18 of random weights on 64 x 64 pixels: a probe of speed, its labels mean nothing.

    As it is made it says one class everywhere; with its mean logits on the plane taken off, several.
    """
    from torchvision.models import resnet18

    torch.manual_seed(0)
    module = resnet18(weights=None, num_classes=10).eval()
    plane = Plane.through(*torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    x_min, x_max, y_min, y_max = extent = plane.square(np.array([[0.0, 0.0], [40.0, 40.0]]))
    places = np.random.default_rng(0).uniform((x_min, y_min), (x_max, y_max), (64, 2))
    with torch.inference_mode():
        usual = module(plane.to_pixels(places).float()).mean(0)
    with torch.no_grad():
        module.fc.bias -= usual
    return Classifier(module, (3, 64, 64)), plane, extent


def inputs_of(classifier: Classifier, run: Callable[[], object]) -> list[Tensor]:
    """What the classifier's module is given while something runs."""
    seen: list[Tensor] = []
    hook = classifier.module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    run()
    hook.remove()
    return seen


def bare_forwards(classifier: Classifier, inputs: list[Tensor]) -> Callable[[], None]:
    """The module alone, on these inputs and in their batches."""

    def run() -> None:
        with torch.inference_mode():
            for images in inputs:
                classifier.module(images)
        if classifier.device.type == "cuda":
            torch.cuda.synchronize(classifier.device)

    return run


def test_a_dense_slice_costs_its_forwards(alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    classifier, plane, extent = demo()
    cut = slice_plane(classifier, plane, extent, 256, "full")
    bare = bare_forwards(classifier, inputs_of(classifier, lambda: slice_plane(classifier, plane, extent, 256, "full")))
    pair = alternate(lambda: slice_plane(classifier, plane, extent, 256, "full"), bare)
    say(f"dense 256 x 256 over bare forwards: {pair.ratio:.3f} ({pair.spread}), goal 1.05")
    say(f"  batch {classifier.batches().size}, {np.median(pair.first):.2f} s over {np.median(pair.second):.2f} s")
    assert cut.evaluated.all()


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("resolution", SHARES)
def test_an_adaptive_slice_asks_for_a_small_share(
    rows: tuple[int, int, int], resolution: int, say: Callable[[str], None]
) -> None:
    if resolution == 1024 and rows not in ROWS[:2] and not os.environ.get("BENCH_ALL"):
        say(f"adaptive 1024 on {rows}: set BENCH_ALL=1")
        return
    classifier, plane, extent = demo(rows)
    cut = slice_plane(classifier, plane, extent, resolution, "adaptive")
    dense = slice_plane(classifier, plane, extent, resolution, "full")
    wrong = int((cut.label != dense.label).sum())
    asked = cut.evaluated.mean()
    say(
        f"adaptive {resolution} on {rows}: {100 * cut.forwards / resolution**2:.2f} % of the dense forwards "
        f"({100 * asked:.2f} % without padding), goal {100 * SHARES[resolution]:.0f} %; {wrong} labels differ, goal 0; "
        f"{cut.seconds:.1f} s over {dense.seconds:.1f} s"
    )
    np.testing.assert_array_equal(cut.label[cut.evaluated], dense.label[cut.evaluated])
    assert wrong == 0


@dataclass
class Clock:
    """The seconds and rows that a slice spends inside its classifier's module."""

    seconds: float = 0.0
    rows: int = 0

    def around(self, module: torch.nn.Module) -> list[Any]:
        """Start counting; returns hooks to remove."""
        begin = [0.0]

        def before(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
            begin[0] = time.perf_counter()

        def after(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.is_cuda:
                torch.cuda.synchronize(output.device)
            self.seconds += time.perf_counter() - begin[0]
            self.rows += len(output)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


@pytest.mark.parametrize(("name", "make", "goal"), [("demo net", demo, 0.20), ("resnet18 at 64", resnet, 0.02)])
def test_bookkeeping_is_small(
    name: str,
    make: Callable[[], tuple[Classifier, Plane, Extent]],
    goal: float,
    alternate: Callable[..., Any],
    say: Callable[[str], None],
    batch_size: BatchSize,
) -> None:
    classifier, plane, extent = make()
    size = classifier.batches().size
    batch_size(size)  # not measured again, nor read from the disk
    resolution = 512 if make is demo else 128
    cut = slice_plane(classifier, plane, extent, resolution, "adaptive")

    def whole() -> Slice:
        return slice_plane(classifier, plane, extent, resolution, "adaptive")

    pair = alternate(whole, bare_forwards(classifier, inputs_of(classifier, whole)))
    share = pair.ratio - 1
    say(f"bookkeeping of adaptive {resolution} on the {name}: {100 * share:.1f} % of its own forwards, goal {goal:.0%}")
    say(f"  ratios {pair.spread}, {cut.forwards} forwards in batches of {size}, {np.median(pair.first):.2f} s each")
    assert len(cut.classes) > 1  # else there was nothing to keep books about
    shares = []
    for _ in range(5):
        clock = Clock()
        hooks = clock.around(classifier.module)
        begin = time.perf_counter()
        again = whole()
        shares.append((time.perf_counter() - begin) / clock.seconds - 1)
        for hook in hooks:
            hook.remove()
        assert clock.rows == cut.forwards
        np.testing.assert_array_equal(again.label, cut.label)
    words = f"{100 * min(shares):.1f}..{100 * max(shares):.1f}"
    say(f"  within one slice: {100 * np.median(shares):.1f} % outside of the module ({words})")


def test_the_floor_of_float32_is_where_labels_stay(say: Callable[[str], None]) -> None:
    for dataset, rows in (("photos", ROWS[0]), ("digits", (3, 100, 420))):
        classifier, plane, _ = demo(rows, dataset)
        exact = classifier.to(dtype=torch.float64)
        profile = boundary_profile(exact, plane, 24, reach=30.0)
        distance, angle = profile.nearest_boundary
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        floor = float32_floor(classifier.input_shape)
        half = 127 * floor * 1.001 / 2  # just above the floor, so that float32 is what is measured
        extent = (x - half, x + half, y - half, y + half)
        cuts = [slice_plane(each, plane, extent, 128, "full") for each in (classifier, exact)]
        wrong = float((cuts[0].label != cuts[1].label).mean())
        say(f"float32 at its floor, steps of {floor:.1e}, on {dataset}: {wrong:.3%} labels differ from float64's")
        assert wrong < 0.005
