"""What walks on level sets cost and how near they come, beside the published walk and the goals; `make bench`.

Only correctness is asserted. The published walk is written as in the paper, one pair at a time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.geometry.level_sets.batch import Pairs
from core.geometry.level_sets.log_odds import LogOdds
from core.geometry.level_sets.step import MODES, LevelSetStep
from core.geometry.level_sets.traverse import LevelSetPaths, traverse
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier

pytestmark = pytest.mark.timeout(3600)


def demo(dataset: str, count: int) -> tuple[Classifier, Tensor, Tensor]:
    """A demo model, and random pairs of images that it classifies correctly and differently."""
    classifier, images = load_classifier(f"demo:{dataset}/standard"), load_images(f"demo:{dataset}")
    said = classifier.predict(images.pixels).label
    right = np.flatnonzero(said == images.labels.numpy())
    random = np.random.default_rng(0)
    sources = random.choice(right, count)
    targets = np.array([random.choice(right[said[right] != said[source]]) for source in sources])
    pixels = images.pixels.to(classifier.device)
    return classifier, pixels[torch.from_numpy(sources)], pixels[torch.from_numpy(targets)]


def resnet() -> Classifier:
    """A resnet18 for 32 x 32 pixels, of random weights: a probe of speed, its labels mean nothing."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    module = resnet18(weights=None, num_classes=10)
    module.conv1, module.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return Classifier(module, (3, 32, 32))


def published(classifier: Classifier, source: Tensor, target: Tensor, delta: float, steps: int, eta: float) -> Tensor:
    """The published walk of one pair: two forwards and a backward of cross-entropy a step."""
    eps = 2e-3
    start = classifier(source[None])
    own = start.argmax(1)
    confidence = float(start.softmax(1)[0, own])
    x, push = source[None].clone(), torch.zeros_like(source[None])
    for _ in range(steps):
        point = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(classifier(point), own), point)
        way = target[None] - x
        tangent = way - (way * g).sum() / (g * g).sum().clamp(min=1e-38) * g
        push = (push - eps * g).clamp(-eps, eps)
        new = (x + eta * tangent + push).clamp(0, 1)
        with torch.no_grad():
            now = float(classifier(new).softmax(1)[0, own])
        if confidence - now > delta:
            break
        x = new
    return x[0].detach()


def synchronized(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@pytest.mark.parametrize("batch", [1, 16, 256])
@pytest.mark.parametrize("model", ["resnet18", "photos"])
def test_a_step_costs_its_forward_and_backward(
    model: str, batch: int, alternate: Callable[..., Any], say: Callable[[str], None]
) -> None:
    classifier = resnet() if model == "resnet18" else load_classifier("demo:photos/standard")
    images = load_images("demo:photos").pixels.to(classifier.device)
    rows = torch.arange(batch, device=images.device)
    sources, targets = images[rows % len(images)], images[(7 * rows + 100) % len(images)]
    own = torch.cat([classifier(part) for part in sources.split(64)]).detach()
    others = torch.cat([classifier(part) for part in targets.split(64)]).detach()
    matched = torch.arange(batch)[:, None].expand(-1, 2)
    pairs = Pairs.from_logits(sources, targets, matched, torch.full_like(own[:, 0], 0.05), own, others)
    stepper = LevelSetStep(LogOdds(classifier, batch), "superlevel", 10_000, 1e-4, 3.0, 2e-3, 0.0, 0.0)
    walkers = pairs.walkers(rows, stepper)
    repeats = max(1, (20 if model == "resnet18" else 100) // batch)

    def bare() -> None:
        for _ in range(repeats):
            points = sources.clone().requires_grad_()
            value = classifier(points).gather(1, pairs.source_class[:, None]).sum()
            torch.autograd.grad(value, points)
        synchronized(classifier.device)

    def steps() -> None:
        with torch.no_grad():
            for _ in range(repeats):
                stepper(walkers)
        synchronized(classifier.device)

    pair = alternate(steps, bare, pairs=3 if (model, batch) == ("resnet18", 256) else 9)
    each = 1e3 * min(pair.second) / repeats
    say(
        f"{model}, batch {batch}: a step over a bare forward and backward of {each:.1f} ms: {pair.ratio:.3f} "
        f"({pair.spread}), goal 1.1"
    )
    assert bool((walkers.age > 0).all())


def describe(paths: LevelSetPaths) -> str:
    fall = (paths.source_confidence[:, None] - paths.confidence - paths.delta[:, None]).ravel()
    return (
        f"median RMSE {np.median(paths.rmse):.4f}, of the start {np.median(paths.ratio):.4f}, floor "
        f"{np.median(paths.floor):.4f}, final confidence {np.median(paths.end_confidence):.4f}, most beyond delta "
        f"{np.nanmax(fall):.1e}, per pair {paths.forwards / len(paths.status):.0f} forwards and "
        f"{paths.gradients / len(paths.status):.0f} gradients, {dict(Counter(paths.status.tolist()))}"
    )


@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_superlevel_walks_come_nearer_than_the_published_ones(dataset: str, say: Callable[[str], None]) -> None:
    """60 pairs, 400 steps: at one delta, and with the deltas at which both end with one confidence."""
    classifier, sources, targets = demo(dataset, 60)
    walks = {mode: traverse(classifier, sources, targets, mode, 0.2, 400) for mode in MODES}
    for mode, paths in walks.items():
        say(f"{dataset}, {mode}, delta 0.2: {describe(paths)}")
    paper = walks["paper"]
    fall = torch.from_numpy((paper.source_confidence - paper.end_confidence).clip(min=0))
    matched = traverse(classifier, sources, targets, "superlevel", fall, 400)
    say(f"{dataset}, superlevel, delta matched to the published walk's end: {describe(matched)}")
    for name, paths in (("one delta", walks["superlevel"]), ("one final confidence", matched)):
        lead = np.median(paths.end_confidence - paper.end_confidence)
        nearer = (paths.rmse < paper.rmse).mean()
        say(f"{dataset}: nearer than the published walk at {name}: {nearer:.0%}, goal 90 %; confidence {lead:+.1e}")
        within = paths.confidence >= paths.source_confidence[:, None] - paths.delta[:, None] - 1e-6
        assert (within | np.isnan(paths.confidence)).all()
    loop = 60 * (2 * 400 + 1)
    share = (walks["superlevel"].forwards) / loop
    say(f"{dataset}: forwards over those of the published loop, {loop}: {share:.2f}, goal 0.5")


def test_a_thousand_pairs_beside_a_loop(say: Callable[[str], None]) -> None:
    steps, sample = 40, 20
    classifier, sources, targets = demo("photos", 1000)
    classifier.batches()  # the batch shape is measured before the clock starts
    eta = 1 - 0.02 ** (1 / steps)
    traverse(classifier, sources[:300], targets[:300], steps=2)
    ours, loops = [], {"the published loop": [], "a loop over pairs of our walk": []}  # type: ignore[var-annotated]
    for _ in range(3):
        begin = time.perf_counter()
        paths = traverse(classifier, sources, targets, steps=steps, stall=0.0)
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        for row in range(sample):
            published(classifier, sources[row], targets[row], 0.05, steps, eta)
        loops["the published loop"].append((time.perf_counter() - begin) * len(sources) / sample)
        begin = time.perf_counter()
        for row in range(sample):
            traverse(classifier, sources[row : row + 1], targets[row : row + 1], steps=steps, stall=0.0)
        loops["a loop over pairs of our walk"].append((time.perf_counter() - begin) * len(sources) / sample)
    say(f"1000 pairs, {steps} steps: {1000 * steps / np.median(ours):.0f} pair-steps a second, {np.median(ours):.1f} s")
    for name, taken in loops.items():
        ratios = sorted(there / here for there, here in zip(taken, ours, strict=True))
        say(f"1000 pairs: time of {name} over ours: {ratios[1]:.1f} ({ratios[0]:.1f}..{ratios[2]:.1f}), goal 5")
    assert (paths.taken > 0).all()
