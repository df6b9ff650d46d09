"""Margins within subspaces: projected gradients, nearest planes, and batches that do not show."""

from __future__ import annotations

import pytest
import torch

from core.geometry.subspaces.subspace_margin import ProjectedMargin
from core.geometry.subspaces.subspaces import frequency_blocks
from core.runtime.cost import Cost
from tests import truths
from tests.truths import BatchSize

SHAPE = (1, 8, 8)


def within(classes: int = 4) -> tuple[ProjectedMargin, truths.Affine, torch.Tensor, torch.Tensor]:
    """Six rows at three images, each in its own block of frequencies, and the logits of the images."""
    weight = torch.stack([truths.unit(SHAPE, seed).flatten() for seed in range(classes)])
    module = truths.Affine(weight, torch.zeros(classes, dtype=torch.float64))
    margin = ProjectedMargin(truths.classifier(module, SHAPE, torch.float64), frequency_blocks(SHAPE, 4))
    images = truths.images(3, SHAPE)
    logits = images.flatten(1) @ weight.T
    return margin, module, images, logits


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_rows_have_their_own_class_and_subspace(batch: int, batch_size: BatchSize, cost: Cost) -> None:
    batch_size(batch)
    margin, module, images, logits = within()
    owner, which = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 2, 3, 0, 3])
    source = torch.tensor([0, 1, 2, 3, 0, 1])
    margin.rows(source, which)
    rows = torch.tensor([5, 0, 3])
    torch.testing.assert_close(margin.all_logits(images), logits)
    found = margin.slope(images[owner[rows]], rows)
    own = logits[owner[rows]].gather(1, source[rows, None])
    others = logits[owner[rows]].scatter(1, source[rows, None], -torch.inf)
    torch.testing.assert_close(found.margin, own[:, 0] - others.amax(1))
    torch.testing.assert_close(margin(images[owner[rows]], rows), found.margin)
    gradient = (module.weight[source[rows]] - module.weight[found.runner_up]).detach().view(-1, *SHAPE)
    blocks = frequency_blocks(SHAPE, 4)
    torch.testing.assert_close(found.gradient, blocks.project(gradient, which[rows]))
    torch.testing.assert_close(margin.projected(gradient, rows), found.gradient)
    assert (cost.forwards, cost.gradients) == (9, 3)


def test_planes_from_an_image_are_those_at_each_row(cost: Cost) -> None:
    margin, _, images, logits = within()
    owner, which = torch.arange(3).repeat_interleave(4), torch.arange(4).repeat(3)
    source = logits.argmax(1)
    others = logits.scatter(1, source[:, None], -torch.inf).topk(3, 1).indices
    margin.rows(source[owner], which)
    rows = torch.tensor([11, 2, 7, 4])
    shared = margin.nearest_planes_from(images, source, others, rows, owner[rows])
    spent = cost.gradients
    alone = margin.nearest_planes(images[owner[rows]], rows, others[owner[rows]])
    assert (spent, cost.gradients - spent) == (9, 12)
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other)
    length = torch.linalg.vector_norm(shared.direction.flatten(1), dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))
    inside = margin.projected(shared.direction, rows)
    torch.testing.assert_close(inside, shared.direction)
    there = images[owner[rows]] + shared.distance.view(-1, 1, 1, 1) * shared.direction
    assert margin(there, rows).abs().max() < 1e-12


def test_memory_that_runs_out_halves_the_batch(monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize) -> None:
    batch_size(64)
    margin, _, images, logits = within()
    plain = type(margin).logits

    def narrow(self: ProjectedMargin, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("not enough memory")
        return plain(self, images)

    monkeypatch.setattr(type(margin), "logits", narrow)
    torch.testing.assert_close(margin.all_logits(images), logits)
    monkeypatch.setattr(type(margin), "logits", lambda self, images: torch.zeros(0)[1])
    with pytest.raises(IndexError):
        margin.all_logits(images)
