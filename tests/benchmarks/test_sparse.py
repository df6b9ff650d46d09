"""Sparse perturbations beside torchattacks' and adv-lib's: pixels and, as ratios within one run, times; `make bench`.

All counts are pixels, places at which any channel differs, of images that changed their class. Peers that are not
installed are named and left out: ``make bench` installs it adv-lib visdom`.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.sparse.box_solver import SPARSE_ORDERS
from core.geometry.sparse.sparse_perturbation import SparsePerturbation, sparse_perturbation
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier

IMAGES = 32
ROUNDING = 1e-6  # of a pixel: peers leave differences of float noise

Attack = Callable[[Classifier, Tensor, Tensor], Tensor]


def demo(dataset: str) -> tuple[Classifier, Tensor, Tensor]:
    """A demo model with images that it classifies correctly, spread over the set, and their classes."""
    classifier, images = load_classifier(f"demo:{dataset}/standard"), load_images(f"demo:{dataset}")
    right = np.flatnonzero(classifier.predict(images.pixels).label == images.labels.numpy())
    rows = right[np.linspace(0, len(right) - 1, IMAGES).astype(int)]
    classifier.batches()  # the batch shape is measured before the clock starts
    return classifier, images.pixels[rows].to(classifier.device), images.labels[rows].to(classifier.device)


def plain(classifier: Classifier) -> nn.Module:
    """A copy for peers, as a module in eval mode: torchattacks puts modules back into the mode that they came in."""
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (classifier.mean, classifier.std))

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = copy.deepcopy(classifier.module)
            self.register_buffer("mean", mean)
            self.register_buffer("std", std)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.module((images - self.mean) / self.std)
            return logits

    return Plain().to(classifier.device).eval()


def peers(say: Callable[[str], None]) -> Mapping[str, Attack]:
    """Those that are installed; they get copies, because torchattacks writes into the images."""
    found: dict[str, Attack] = {}
    try:
        import torchattacks
    except ImportError as error:
        say(f"torchattacks is not measured: {error}; `make bench` installs it")
    else:
        found["torchattacks SparseFool"] = lambda classifier, images, labels: torchattacks.SparseFool(
            plain(classifier)
        )(images.clone(), labels)
    try:
        from adv_lib.attacks import sigma_zero
    except ImportError as error:
        say(f"adv-lib is not measured: {error}; `make bench` installs it")
    else:
        found["adv-lib sigma-zero"] = lambda classifier, images, labels: sigma_zero(
            plain(classifier), images.clone(), labels, num_steps=100
        ).detach()
    return found


def describe(found: SparsePerturbation) -> str:
    return (
        f"found {found.found.mean():.0%}, pixels median {np.nanmedian(found.pixels):g}, mean "
        f"{np.nanmean(found.pixels):.2f}, entries median {np.nanmedian(found.entries):g}, ℓ2 median "
        f"{np.nanmedian(found.l2):.2f}, per image {found.forwards / IMAGES:.0f} forwards and "
        f"{found.gradients / IMAGES:.1f} gradients, {found.survives_rounding.mean():.0%} survive rounding"
    )


@pytest.mark.parametrize("dataset", ["photos", "digits"])
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_sparsefool_beside_its_peers(dataset: str, alternate: Callable[..., Any], say: Callable[[str], None]) -> None:
    """Pixel order with reversal alone; the default, with an exchange of pixels after it, stands beside."""
    classifier, images, labels = demo(dataset)
    search = partial(sparse_perturbation, classifier, images, exchanges=0)
    say(f"{dataset}, with an exchange: {describe(sparse_perturbation(classifier, images))}")
    found = search()
    say(f"{dataset}: {describe(found)}")
    assert found.found.all()
    np.testing.assert_array_equal(classifier.predict(found.adversarial).label, found.target_class)
    for name, attack in peers(say).items():
        adversarial = attack(classifier, images, labels)
        flipped = classifier(adversarial).argmax(1) != labels
        count = ((adversarial - images).abs() > ROUNDING).any(1).flatten(1).sum(1)[flipped].double()

        def run(attack: Attack = attack) -> Tensor:
            return attack(classifier, images, labels)

        pair = alternate(search, run, pairs=3)
        goal, most = (0.5, 0.1) if name.startswith("torchattacks") else (1.0, None)
        share = np.median(found.pixels) / float(count.median())
        say(
            f"{dataset}: {name}: {float(flipped.float().mean()):.0%} changed class, pixels median "
            f"{float(count.median()):g}, mean {float(count.mean()):.1f}, {statistics.median(pair.second):.2f} s"
        )
        say(f"  median pixels over that: {share:.2f}, goal {goal:g}; time over that: {pair.ratio:.3f} ({pair.spread})")
        if most is not None:
            say(f"  goal of the time: {most:g}")
        assert share <= goal


@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_orders_at_equal_value_bounds(dataset: str, say: Callable[[str], None]) -> None:
    """At the same bound D orders can be compared: with D = 1, pixel order also uses the largest changes."""
    classifier, images, _ = demo(dataset)
    for bound in (1.0, 0.5, 0.25):
        for order in SPARSE_ORDERS:
            found = sparse_perturbation(classifier, images, order=order, bound=bound)
            say(f"{dataset}: D = {bound:g}, {order} order: {describe(found)}")
            assert not (found.linf > bound * (1 + 1e-6)).any()
        for unit in ("pixel", "entry"):
            found = sparse_perturbation(classifier, images, method="sigma_zero", unit=unit, bound=bound)
            say(f"{dataset}: D = {bound:g}, sigma-zero by {unit}: {describe(found)}")
            assert not (found.linf > bound * (1 + 1e-6)).any()
