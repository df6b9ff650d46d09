"""`load_classifier`: from one line of text to the classifier that it names."""

from __future__ import annotations

from pathlib import Path

import torch

from core.errors import CheckpointError
from core.images.load import load_images
from core.models.checkpoints import find_checkpoint, load_checkpoint, read_checkpoint
from core.models.classifier import Classifier
from core.runtime.batches import choose_device
from core.sources.models import NULLS, Source
from core.sources.options import UploadFinder


def load_classifier(
    source: str | Path,
    device: str | torch.device | None = None,
    *,
    uploads: UploadFinder | None = None,
    trust: bool = True,
) -> Classifier:
    """Load a classifier.

    Files of weights are read, never run. Formats that can run code (`.pt2`, ONNX, `module:`, robustbench) are loaded if
    you name them here or on the command line, and never from a page.

    Args:
        source: a line of text as in `core.sources.models`: a demo model, a name of torchvision, timm or its hub, or a
            file with its architecture, such as `net.pt?arch=torchvision:resnet18&preset=imagenet`.
        device: where it will run; by default the best device here.
        uploads: finds the files of `upload:DIGEST`; an upload that is not found is an error.
        trust: whether code that comes with the model may run, as your own may. False for a source from a recipe, a link
            or a page; see `core.models.trust`.

    Returns:
        The classifier, with the name that the checkpoint or the source gives, and its normalisation inside.

    Raises:
        CheckpointError: if there is no such model, or the file is damaged, foreign or inconsistent.
        ValueError: if there is no such device here.
    """
    device = choose_device(device)
    named = Source.parse(source)
    if not trust:
        from core.models.trust import require_trust

        require_trust(named)
    return _load(named, device, uploads, trust)


def _load(named: Source, device: torch.device, uploads: UploadFinder | None, trust: bool) -> Classifier:
    """Load the source that was judged, never a text that is parsed again and may then name something else."""
    if named.kind in NULLS:
        from core.models.null import null_of

        of = _load(named.inner, device, uploads, trust)
        return null_of(named, of, lambda images: load_images(images, uploads=uploads))
    path = find_checkpoint(named, uploads)
    if path is None:
        from core.models.third_party import load_third_party

        return load_third_party(named, device, uploads, trust)
    return load_checkpoint(path, device)


def model_card(source: str | Path) -> str:
    """The model card, as Markdown: architecture, data, training, accuracy and limits.

    It is read from a file next to the checkpoint, or else made from the checkpoint's metadata.

    Args:
        source: as for `load_classifier`.

    Raises:
        CheckpointError: if there is no such model, or the file is damaged or foreign.
    """
    path = find_checkpoint(Source.parse(source))
    if path is None:
        raise CheckpointError(f"expected a checkpoint of ours, got {str(source)[:80]!a}; others have no card")
    card = path.with_suffix(".md")
    if card.is_file():
        return card.read_text(encoding="utf-8")
    facts, _ = read_checkpoint(path)
    correct, count = facts["accuracy"]["correct"], facts["accuracy"]["images"]
    shape = " x ".join(map(str, facts["input_shape"]))
    return (
        f"# {facts['name']}\n\nA `{facts['architecture']}` classifier of {shape} images into "
        f"{len(facts['class_names'])} classes: {', '.join(facts['class_names'])}.\n\n"
        f"Accuracy when it was made: {correct / count:.1%} of {count} held-out images.\n"
    )
