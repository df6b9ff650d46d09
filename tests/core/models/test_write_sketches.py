"""The sketches in the repository are those of the installed libraries."""

from __future__ import annotations

import base64
import json

import numpy as np

from core.models import registries, sketches
from core.models.registries import architectures


def test_the_sketches_match_the_installed_architectures() -> None:
    stored = json.loads(sketches.SKETCHES.read_text())["sketches"]
    assert len(stored) > 1000
    for name in ["torchvision:resnet18", "torchvision:regnet_y_400mf", "timm:vit_tiny_patch16_224"]:
        template = registries.template(name)
        body = {key: shape for key, shape in template.items() if shape[:1] != (registries.PROBE_CLASSES,)}
        assert np.array_equal(np.frombuffer(base64.b64decode(stored[name]), "<u2"), sketches.sketch(body))
    assert set(stored) & set(architectures())
