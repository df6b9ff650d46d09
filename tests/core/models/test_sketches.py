"""Sketches are those of what is installed, and estimate what two sets of weights share."""

from __future__ import annotations

from core.models import sketches


def test_sketches_estimate_the_share_of_common_tensors() -> None:
    one = {f"a{place}": (place,) for place in range(300)}
    two = {f"a{place}": (place,) for place in range(100, 400)}  # 200 of 400 shared
    alike = sketches.sketch(one)[: sketches.EXACT] == sketches.sketch(two)[: sketches.EXACT]
    assert 0.2 < alike.mean() < 0.8
    assert (sketches.sketch(one) == sketches.sketch(dict(reversed(one.items())))).all()
