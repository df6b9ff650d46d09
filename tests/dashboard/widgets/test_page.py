"""The texts that explain what a view shows."""

from __future__ import annotations

import re

from core.sources.models import ASSETS
from dashboard.viewer.words import LENSES
from dashboard.widgets import page


def test_every_lens_and_both_upload_views_have_an_explanation() -> None:
    assert {path.stem for path in (ASSETS / "about").iterdir()} == {*LENSES, "images", "model"}
    for view in LENSES:
        assert "**What to look for.**" in page.explanation(view)
        assert "**What this cannot show.**" in page.explanation(view)


def test_files_that_explanations_name_exist() -> None:
    for path in (ASSETS / "about").iterdir():
        for named in re.findall(r"`((?:core|assets)/\S+)`", page.explanation(path.stem)):
            assert (ASSETS.parent / named).is_file(), (path.name, named)
