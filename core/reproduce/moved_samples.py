"""A small experiment: training samples are moved along one direction, and the boundary moves in another one.

Two classes y = ±1 of points x = w + a y e_1 in D dimensions, w normal with deviation 1 along all axes but the first
two: the class shows along e_1 alone, and a network trained on them has its boundary across it, about a away. Now the
same samples are moved by b y along e_2, b > a: their class shows there too, and better. What happens along e_1, where
no sample has moved? The control moves the same samples by the same lengths along e_2, but regardless of their class.

Reference: Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, Hold me tight! Influence of discriminative features on deep
network boundaries, NeurIPS 2020 (arXiv 2002.06349), section on moved samples; sizes and network here are our own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.geometry.subspaces.subspace_distances import subspace_distances
from core.geometry.subspaces.subspaces import Components, Subspaces
from core.models.classifier import Classifier

SIDE = 10  # of an "image": 100 dimensions
NEAR, FAR = 0.5, 3.0  # a and b: half the distance between the classes along e_1, and along e_2 after the move
_SAMPLES, _PROBED = 1000, 64
_WIDTH, _STEPS, _RATE = 64, 200, 1e-2

Move = Literal["none", "by class", "at random"]


class MovedSamples(NamedTuple):
    """Median ℓ2 distances to the boundary along three orthogonal axes; infinite where most searches found none."""

    discriminative: float  # along e_1
    moved: float  # along e_2
    other: float  # along e_3, which is independent of the class
    accuracy: float  # on the training samples


def moved_samples(move: Move, seed: int) -> MovedSamples:
    """Train a network on the samples and measure where its boundary is.

    Args:
        move: how the samples are moved before training.
        seed: of the samples, the rotation and the network.

    Returns:
        Median distances over correctly classified samples.
    """
    generator = torch.Generator().manual_seed(seed)
    space = SIDE**2
    labels = torch.arange(_SAMPLES) % 2
    sign = 2.0 * labels - 1
    points = torch.randn(_SAMPLES, space, generator=generator)
    along = torch.where(torch.rand(_SAMPLES, generator=generator) < 0.5, -1.0, 1.0)
    points[:, 0], points[:, 1] = NEAR * sign, 0.0
    if move != "none":
        points[:, 1] = FAR * (sign if move == "by class" else along)
    axes = torch.linalg.qr(torch.randn(space, space, generator=generator, dtype=torch.float64))[0].float()
    images = (points @ axes.T).view(-1, 1, SIDE, SIDE)
    classifier = _trained(images, labels, seed)
    right = (torch.from_numpy(classifier.predict(images).label) == labels).nonzero()[:, 0]
    found = subspace_distances(classifier, images[right[:_PROBED]], subspaces=_axes(axes[:, :3].T))
    discriminative, moved, other = map(float, found.quantile(0.5, np.ones(len(found.distance), bool)))
    return MovedSamples(discriminative, moved, other, len(right) / _SAMPLES)


def _axes(directions: Tensor) -> Subspaces:
    """One subspace for each of a few orthonormal directions."""
    shape = 1, SIDE, SIDE
    masks = torch.zeros((len(directions), len(directions) + SIDE**2), dtype=torch.bool)
    masks[range(len(directions)), range(len(directions))] = True
    return Subspaces(
        kind="principal",
        basis=Components(directions.double(), shape),
        masks=masks,
        labels=tuple(f"axis {place + 1}" for place in range(len(directions))),
        dimension=(1,) * len(directions),
        bounds=(),
        shape=shape,
    )


def _trained(images: Tensor, labels: Tensor, seed: int) -> Classifier:
    """A perceptron with two hidden layers, trained with Adam on all samples at once."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        hidden = nn.Linear(SIDE**2, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU()
        module = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(_WIDTH, 2))
        optimizer = torch.optim.Adam(module.parameters(), lr=_RATE, weight_decay=1e-4)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(module(images), labels))
            optimizer.step()
    return Classifier(module, (1, SIDE, SIDE), ("minus", "plus"), name="perceptron", device="cpu")
