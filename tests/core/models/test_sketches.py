"""Sketches are those of what is installed, and estimate what two sets of weights share."""

from __future__ import annotations

import base64
import json

import numpy as np

from core.models import registries, sketches
from core.models.registries import architectures


def test_the_sketches_are_those_of_what_is_installed() -> None:
    stored = json.loads(sketches.SKETCHES.read_text())["sketches"]
    assert len(stored) > 1000
    for name in ["torchvision:resnet18", "torchvision:regnet_y_400mf", "timm:vit_tiny_patch16_224"]:
        template = registries.template(name)
        body = {key: shape for key, shape in template.items() if shape[:1] != (registries.PROBE_CLASSES,)}
        assert np.array_equal(np.frombuffer(base64.b64decode(stored[name]), "<u2"), sketches.sketch(body))
    assert set(stored) & set(architectures())


def test_a_sketch_estimates_what_two_sets_share() -> None:
    one = {f"a{place}": (place,) for place in range(300)}
    two = {f"a{place}": (place,) for place in range(100, 400)}  # 200 of 400 shared
    alike = sketches.sketch(one)[: sketches.EXACT] == sketches.sketch(two)[: sketches.EXACT]
    assert 0.2 < alike.mean() < 0.8
    assert (sketches.sketch(one) == sketches.sketch(dict(reversed(one.items())))).all()
