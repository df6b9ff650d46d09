"""The claims of the papers, tested on the demo models: each with its numbers, controls and a plain verdict.

The module of a topic defines `claims(study)`, which measures the models and yields the claims, and `COUNT`, the default
number of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module

from core.reproduce.report import Claim as Claim
from core.reproduce.report import Evidence as Evidence
from core.runtime.progress import OnProgress, silent

TABLE = {
    "curvature": "curved boundaries: flatness, asymmetry, shared directions, the detector, connected regions",
    "limits": "limits on every classifier: exponents of the theorems, exact counts, and what searches find on noise",
    "margins": "margins by frequency: what training, adversaries, data and PRIME do to them",
    "level-sets": "level sets: whether walks reach blind spots, whether these lie in a star, and what training changes",
    "local": "local properties: isotropy, symmetry, topology and steepness, each beside linear maps",
    "sparse": "sparse perturbations: few pixels suffice, they are shared in part, and they transfer to some degree",
}


def claims_about(
    topic: str,
    models: Sequence[str],
    *,
    device: str | None = None,
    on_progress: OnProgress = silent,
    count: int | None = None,
    seed: int = 0,
) -> Iterator[Claim]:
    """Test the claims of a topic on demo models.

    Args:
        topic: a name of `TABLE`.
        models: sources such as demo:photos/standard.
        device: device of the models; the best available one when not given.
        on_progress: called with the fraction done.
        count: number of images of each model, see `COUNT` of the topic, which is the default.
        seed: of all that is drawn at random.

    Yields:
        Each claim as soon as it is measured; claims that need models which are not given are left out.

    Raises:
        ValueError: if the topic is unknown, a model is no demo model, or the topic can use none of the models.
    """
    if topic not in TABLE:
        raise ValueError(f"expected a topic out of {', '.join(TABLE)}, got {topic!r}")
    strangers = [source for source in models if not source.startswith("demo:")]
    if not models or strangers:
        raise ValueError(f"expected demo models, such as demo:photos/standard, got {(strangers or ['none'])[0]}")
    from core.reproduce.demo import Study

    module = import_module(f"core.reproduce.{topic.replace('-', '_')}")
    count = module.COUNT if count is None else count
    study = Study(models=tuple(models), device=device, on_progress=on_progress, count=count, seed=seed)
    for claim in module.claims(study):
        if claim.evidence:
            yield claim
