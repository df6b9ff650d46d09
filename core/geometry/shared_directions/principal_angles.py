"""How similar the curved subspaces of models are, by principal angles.

Each model has its own shared directions, found on the same images. The share of one subspace in another is the mean of
the squared cosines of their principal angles. There are two controls: the same model's directions from other images,
which show how far a sample determines them, and the other model's directions after a random all-pass filter
(`core.geometry.shared_directions.sharing`), which show the share that equal frequencies alone would give.

References: Moosavi-Dezfooli et al., Robustness of classifiers to universal perturbations: a geometric perspective, ICLR
2018 (arXiv 1705.09554); Björck and Golub, Numerical methods for computing angles between linear subspaces, Math. Comp.
27, 1973.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ImageError
from core.geometry.shared_directions.mean_shape_operator import shared_directions
from core.geometry.shared_directions.sharing import TOLERANCE, scrambled
from core.models.classifier import Classifier
from core.result import Context, Number, Result, quantity
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class SubspaceOverlap(Result):
    """Principal angles between the spans of two sets of directions."""

    angles: np.ndarray = quantity("°", "m")  # ascending, as many as the smaller span has dimensions
    share: float = quantity("")  # mean of the squared cosines: of the smaller span in the larger one
    chance: float = quantity("")  # of random spans of these dimensions


@counted
def subspace_overlap(first: Float[Tensor, "m c h w"], second: Float[Tensor, "k c h w"]) -> SubspaceOverlap:
    """Compare the spans of two sets of linearly independent directions.

    Args:
        first: directions, such as those of one model.
        second: directions of the same shape, such as those of another model.

    Returns:
        Angles, 0 for equal spans and 90° for orthogonal ones.

    Raises:
        ImageError: if a set is empty or the shapes differ.

    >>> axes = torch.eye(4).view(4, 1, 2, 2)
    >>> subspace_overlap(axes[:2], axes[1:3]).angles.round().tolist()
    [0.0, 90.0]
    """
    if first.shape[1:] != second.shape[1:] or not len(first) or not len(second):
        raise ImageError(f"expected directions of one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    from scipy.linalg import subspace_angles

    spans = [directions.detach().cpu().double().flatten(1).numpy().T for directions in (first, second)]
    angles = np.sort(subspace_angles(*spans))
    return SubspaceOverlap(
        angles=np.degrees(angles),
        share=float((np.cos(angles) ** 2).mean()),
        chance=max(len(first), len(second)) / first[0].numel(),
        **spent(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionOverlap(Result):
    """The share of one model's curved subspace in another's; on the diagonal: in its own from other images."""

    share: np.ndarray = quantity("", "source target")  # mean of the squared cosines of the principal angles
    scrambled: np.ndarray = quantity("", "source target")  # the same after a random all-pass filter on the target
    angles: np.ndarray = quantity("°", "source target m")  # principal angles, ascending
    chance: float = quantity("", words="overlap by chance")  # of random subspaces
    models: np.ndarray = quantity("", "source")  # names
    directions: int = quantity("")
    products: int = quantity("")

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """The overlap of the subspaces of every two models."""
        for at in np.ndindex(self.share.shape):
            if at[0] != at[1]:
                pair = f"{self.models[at[0]]} and {self.models[at[1]]}"
                yield Number(name=f"overlap of {pair}", value=float(self.share[at]))
                yield Number(name=f"overlap of {pair}, scrambled", value=float(self.scrambled[at]))
        yield from self.quoted("chance")


@counted
def direction_overlap(
    classifiers: Sequence[Classifier],
    images: Float[Tensor, "n c h w"],
    unseen: Float[Tensor, "k c h w"],
    *,
    directions: int = 12,
    scale: float | None = None,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> DirectionOverlap:
    """Compare the curved subspaces of models by their principal angles.

    Args:
        classifiers: models of images of one size.
        images: the images that the directions of every model come from.
        unseen: other images, from which each model's directions are found again, as a control.
        directions: dimension of each subspace.
        scale: of differences for networks with kinks, in ℓ2 pixel.
        seed: of all random numbers.
        on_progress: called with the fraction done.

    Returns:
        Shares and angles of every ordered pair of models.

    Raises:
        ValueError: if there is no model or no image, or none with a boundary point.
        ImageError: if a value is not finite or a shape is not a classifier's.
    """
    if not classifiers or not len(images) or not len(unseen):
        raise ValueError("expected models, images and other images, got none of one of them; take more images")
    sets: list[list[Tensor]] = []
    for done, classifier in enumerate(classifiers, 1):
        found = [
            shared_directions(classifier, each, directions, scale=scale, tolerance=TOLERANCE, seed=seed)
            for each in (images, unseen)
        ]
        sets.append([torch.from_numpy(each.directions) for each in found])
        on_progress(done / len(classifiers))
    size, count = len(classifiers), len(sets[0][0])
    share, control = np.empty((size, size)), np.empty((size, size))
    angles = np.empty((size, size, count))
    for row, column in np.ndindex(size, size):
        own, other = sets[row][0], sets[column][int(row == column)]
        overlap = subspace_overlap(own, other)
        share[row, column], angles[row, column] = overlap.share, overlap.angles
        control[row, column] = subspace_overlap(own, scrambled(other, seed)).share
    return DirectionOverlap(
        share=share,
        scrambled=control,
        angles=angles,
        chance=count / sets[0][0][0].numel(),
        models=np.array([classifier.name for classifier in classifiers]),
        directions=count,
        **spent(products=True),
    )
