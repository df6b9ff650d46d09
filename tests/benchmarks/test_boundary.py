"""Boundary points beside those of foolbox and adv-lib: distances and, as ratios within one run, times; `make bench`.

Only correctness is asserted. Peers' distances include their overshoot of 2 %, ours end on the boundary. Peers that are
not installed are named and left out: `pip install foolbox adv-lib`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.boundary.deepfool import BoundaryPoints, boundary_points
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier

IMAGES = 32


def demo(dataset: str) -> tuple[Classifier, Tensor, Tensor]:
    """A demo model with images that it classifies correctly, spread over the set, and their classes."""
    classifier, images = load_classifier(f"demo:{dataset}/standard"), load_images(f"demo:{dataset}")
    right = np.flatnonzero(classifier.predict(images.pixels).label == images.labels.numpy())
    rows = right[np.linspace(0, len(right) - 1, IMAGES).astype(int)]
    classifier.batches()  # the batch shape is measured before the clock starts
    return classifier, images.pixels[rows].to(classifier.device), images.labels[rows].to(classifier.device)


Attack = Callable[[Classifier, Tensor, Tensor], Tensor]


def peers(say: Callable[[str], None]) -> Mapping[str, Attack]:
    """DeepFool of those that are installed, and SuperDeepFool; all without a pixel box where they offer the choice."""
    found: dict[str, Attack] = {}
    try:
        from adv_lib.attacks import df, sdf
    except ImportError as error:
        say(f"adv-lib is not measured: {error}; `make bench` installs it")
    else:
        found["adv-lib DeepFool"] = lambda classifier, images, labels: df(classifier, images, labels, steps=50)
        found["adv-lib SuperDeepFool"] = lambda classifier, images, labels: sdf(classifier, images, labels)
    try:
        import foolbox
    except ImportError as error:
        say(f"foolbox is not measured: {error}; `make bench` installs it")
    else:

        def l2_deepfool(classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
            shift, scale = (list(map(float, values)) for values in (classifier.mean, classifier.std))
            model = foolbox.PyTorchModel(
                classifier.module,
                bounds=(-100, 101),  # as good as none
                device=classifier.device,
                preprocessing={"mean": shift, "std": scale, "axis": -3},
            )
            found: Tensor = foolbox.attacks.L2DeepFoolAttack(steps=50)(model, images, labels, epsilons=None)[0]
            return found

        found["foolbox DeepFool"] = l2_deepfool
    return found


def describe(found: BoundaryPoints) -> str:
    words, counts = np.unique(found.status, return_counts=True)
    return (
        f"median ℓ2 {np.nanmedian(found.distance):.4f}, mean {np.nanmean(found.distance):.4f}, found "
        f"{found.found.mean():.0%} (goal 100 %), angle {np.nanmedian(found.angle):.2f}° (at most "
        f"{np.nanmax(found.angle):.2f}°), per image {found.forwards / IMAGES:.0f} forwards and "
        f"{found.gradients / IMAGES:.0f} gradients, {dict(zip(words.tolist(), counts.tolist(), strict=True))}"
    )


@pytest.mark.parametrize("dataset", ["photos", "digits"])
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_deepfool_beside_its_peers(dataset: str, alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    classifier, images, labels = demo(dataset)
    rough, found = boundary_points(classifier, images, refine=False), boundary_points(classifier, images)
    say(f"{dataset}: DeepFool and bisection: {describe(rough)}")
    say(f"{dataset}: refined: {describe(found)}")
    distances, ratios = {}, {}
    for name, attack in peers(say).items():
        adversarial = attack(classifier, images, labels)
        there = (adversarial - images).flatten(1).norm(dim=1).cpu().numpy()
        flipped = float((classifier(adversarial).argmax(1) != labels).float().mean())
        distances[name] = float(np.median(there))
        ours = name.endswith("SuperDeepFool")

        def run(attack: Attack = attack) -> Tensor:
            return attack(classifier, images, labels)

        def mine(refine: bool = ours) -> BoundaryPoints:
            return boundary_points(classifier, images, refine=refine)

        pair = alternate(mine, run)
        ratios[name] = pair.ratio
        say(
            f"{dataset}: {name}: median ℓ2 {distances[name]:.4f}, {flipped:.0%} changed class, "
            f"{statistics.median(pair.second):.2f} s"
        )
        say(f"  {'refined' if ours else 'DeepFool and bisection'} takes {pair.ratio:.2f} of that ({pair.spread})")
    plain = [value for name, value in distances.items() if not name.endswith("SuperDeepFool")]
    if plain:
        say(f"{dataset}: median ℓ2 over the best peer's: {np.median(rough.distance) / min(plain):.4f}, goal 1.01")
        slowest = max(value for name, value in ratios.items() if not name.endswith("SuperDeepFool"))
        say(f"{dataset}: time over the fastest peer's: {slowest:.2f}, goal 1.5")
    if "adv-lib SuperDeepFool" in distances:
        share = np.median(found.distance) / distances["adv-lib SuperDeepFool"]
        say(f"{dataset}: refined median ℓ2 over SuperDeepFool's: {share:.4f}, goal 1")
    assert found.found.all()
    assert (found.distance <= rough.distance).all()
    np.testing.assert_array_equal(classifier.predict(found.crossed).label, found.target_class)


@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_gradients_of_several_logits_in_a_loop_and_at_once(
    dataset: str, alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier, images, _ = demo(dataset)
    images = images.clone().requires_grad_()
    every = torch.eye(classifier.num_classes, device=classifier.device, dtype=classifier.dtype)
    rows = every[:, None].expand(-1, len(images), -1)

    def loop() -> Tensor:
        logits = classifier(images)
        return torch.stack([torch.autograd.grad(logits, images, row, retain_graph=True)[0] for row in rows])

    def at_once() -> Tensor:
        return torch.autograd.grad(classifier(images), images, rows, is_grads_batched=True)[0]

    pair = alternate(at_once, loop)
    say(f"{dataset}: gradients of {len(every)} logits at once over a loop: {pair.ratio:.2f} ({pair.spread})")
    torch.testing.assert_close(at_once(), loop(), rtol=1e-4, atol=1e-5)
