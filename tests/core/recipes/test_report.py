"""A report holds every lens that was asked for, each with its caption or one sentence why there is none."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from pypdf import PdfReader

from core.analyses.table import TABLE
from core.cli import main
from core.errors import RecipeError
from core.figures.drawing.paper import read_recipe
from core.recipes.recipe import Recipe
from core.recipes.report import report

MODEL, IMAGES, LENSES = "demo:photos/standard", "demo:photos", ("limits", "slice", "overlay")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(tmp_path_factory.getbasetemp() / "report"))


def test_a_pdf_has_a_sheet_per_lens_with_its_recipe_attached(tmp_path: Path) -> None:
    out = tmp_path / "report.pdf"
    options = ["--model", MODEL, "--rows", "3,17", "--only", ",".join(LENSES)]
    assert main(["report", *options, "--out", str(out)]) == 0
    reader = PdfReader(out)
    texts = [" ".join(page.extract_text().split()) for page in reader.pages]
    assert len(texts) == 1 + len(LENSES)
    assert all(TABLE[name].question in text for name, text in zip(LENSES, texts[1:], strict=True))
    assert "rows 3, 17 of demo:photos" in texts[0]
    assert "No picture: expected 3 images for slice, got 2" in texts[2]
    assert {tuple(map(round, page.mediabox[2:])) for page in reader.pages} == {(595, 842)}
    attached = {name: Recipe.parse(data[0].decode()) for name, data in reader.attachments.items()}
    assert set(attached) == {"limits.json", "overlay.json"}
    assert attached["overlay.json"].rows == (3, 17)
    assert [entry["/Title"] for entry in reader.outline] == [TABLE[name].question for name in LENSES]


def test_a_page_holds_each_picture_with_words_for_those_who_cannot_see_it() -> None:
    page = report(MODEL, IMAGES, [3, 17], ".html", only=LENSES, device="cpu").decode()
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)">', page)
    assert len(pictures) == 2
    assert all(alt for alt, _ in pictures)
    assert read_recipe(base64.b64decode(pictures[0][1]))["analysis"] == "limits"
    assert "No picture: expected 3 images for slice, got 2" in page
    assert page.count("<section") == page.count("</section>") == 3
    assert "<script" not in page


def test_it_is_the_same_each_time_and_says_how_far_it_is() -> None:
    told: list[float] = []
    first = report(MODEL, IMAGES, [3], only=["limits", "painting"], on_progress=lambda done, _=None: told.append(done))
    assert told == [0.5, 1.0]
    again = report(MODEL, IMAGES, [3], only=["limits", "painting"])
    texts = [[page.extract_text() for page in PdfReader(io.BytesIO(data)).pages] for data in (first, again)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MODEL, IMAGES, ["x"], ".pdf"), "rows: expected a number"),
        ((MODEL, IMAGES, [9999], ".pdf"), "expected rows below 540"),
        ((MODEL, IMAGES, [], ".pdf"), "expected rows of the image set, got none"),
        ((MODEL, IMAGES, [3], ".docx"), "expected a report ending in .pdf or .html"),
        (("demo:no", IMAGES, [3], ".pdf"), "expected one of demo:photos/standard"),
        ((MODEL, "demo:digits", [3], ".pdf"), "expected images of n x 3"),
    ],
)
def test_what_cannot_be_reported_on_is_told_at_once(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(*arguments, only=["limits"])


def test_an_unknown_lens_is_refused() -> None:
    with pytest.raises(RecipeError, match="expected lenses out of slice"):
        report(MODEL, IMAGES, [3], only=["lens"])
