"""Letters that fonts have, and what stands for the others: the same words in every file, and a caption that says so."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from unicodedata import normalize
from xml.etree import ElementTree as ET

import numpy as np
import pypdf
import pytest
from matplotlib.text import Text

from core.figures.drawing import glyphs, paper, screen, style
from core.figures.drawing.chart import Axis, Chart, LegendEntry, Panel, PointsLayer
from core.wording import names
from tests.core.test_wording import TRAPS
from tests.fonts import installed, write_font

NAMES = ("猫", "犬", "ñandú", "🙂", "ゴールデンレトリバー", "ゴールデンハムスター")
LACKING = ("[U+732B]", "[U+72AC]", "ñandú", "[U+1F642]")
ALL = "".join(dict.fromkeys("".join(NAMES)))


def a_chart(*names: str) -> Chart:
    points = PointsLayer(positions=np.zeros((1, 2)), labels=(f"here: {names[0]}",), name="mark")
    legend = tuple(LegendEntry(colour=style.class_colour(k), label=name) for k, name in enumerate(names))
    panel = Panel(layers=(points,), x=Axis(label="x", ticks=((0.0, names[-1]),)), title=f"of {names[0]}")
    return Chart(panels=(panel,), name="marks", legend=legend, caption="Marks.", alt="Marks.")


def words_of(chart: Chart, format: str) -> str:
    """All words in a file, as a reader of such files finds them."""
    if format == "html":
        text = screen.page_bytes(chart).decode()
        return unescape(
            re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text.split("Plotly.newPlot")[-1])
        )
    data = paper.figure_bytes(chart, format)  # type: ignore[arg-type]
    if format == "pdf":
        return pypdf.PdfReader(io.BytesIO(data)).pages[0].extract_text()
    return " ".join(ET.fromstring(data).itertext())


@pytest.mark.parametrize("format", ["pdf", "svg", "html"])
def test_letters_that_no_font_has_are_the_same_code_points_in_every_file(
    format: str, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    found = words_of(a_chart(*NAMES), format)
    assert all(word in found for word in (*LACKING, "here: [U+732B]", "of [U+732B]"))
    assert "\N{REPLACEMENT CHARACTER}" not in found
    # the picture alone: captions keep the reader's own letters
    assert not set("猫犬") & set(found.split("No font here")[0])
    assert capfd.readouterr().err == ""
    assert not recwarn.list


def test_a_picture_of_points_has_the_words_of_the_page() -> None:
    drawn = [text.get_text() for text in paper.draw(a_chart(*NAMES)).findobj(Text)]
    assert {*LACKING, "here: [U+732B]"} <= set(drawn)


def test_long_names_stay_short_and_apart() -> None:
    retriever, hamster = map(glyphs.readable, NAMES[4:])
    assert retriever.startswith("[U+30B4 U+30FC ... ")
    assert retriever != hamster
    assert len(retriever) < 30


def test_the_caption_names_what_is_not_drawn_once() -> None:
    once = glyphs.with_known_letters(a_chart(*NAMES[:4]))
    assert once.caption == (
        "Marks. No font here has these letters, drawn as their code points: 猫 as [U+732B], 🙂 as [U+1F642],"
        " 犬 as [U+72AC]; install one that has them."
    )
    assert glyphs.with_known_letters(once) is once
    many = glyphs.with_known_letters(a_chart(*(chr(0x4E00 + k) for k in range(12)))).caption
    assert many.count(" as [") == 8
    assert "4 more alike" in many


@pytest.mark.parametrize("names", [("cat", "dog"), ("ñandú", "ℓ2 ≤ ε", "кот", "γάτα")])
def test_letters_that_fonts_have_change_nothing(names: tuple[str, ...]) -> None:
    chart = a_chart(*names)
    assert glyphs.with_known_letters(chart) is chart
    assert all(name in words_of(chart, "svg") for name in names)


@pytest.mark.parametrize("curves", [False, True])
@pytest.mark.parametrize("font", ["sans", "serif"])
def test_a_font_that_has_the_letters_lends_them(
    font: paper.Font, curves: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    chart, path = a_chart(*NAMES), tmp_path / f"Squares.{'otf' if curves else 'ttf'}"
    write_font(path, ALL, curves=curves)
    lacking = paper.figure_bytes(chart, "pdf", font=font)
    with installed(path):
        assert glyphs.with_known_letters(chart) is chart
        assert glyphs.families(font, "猫")[-1] == "Squares"
        data = paper.figure_bytes(chart, "pdf", font=font)
        assert data == paper.figure_bytes(chart, "pdf", font=font)
        page = pypdf.PdfReader(io.BytesIO(data)).pages[0]
        assert all(name in page.extract_text() for name in ("猫", "犬", "ñandú", "🙂", "ゴールデンレトリバー"))
        kinds = {entry.get_object()["/Subtype"] for entry in page["/Resources"]["/Font"].values()}  # type: ignore[index]
        assert kinds == {"/Type3" if curves else "/Type0"}
        assert "猫" in words_of(chart, "svg")
        assert "猫" in words_of(chart, "html")
        assert paper.figure_bytes(chart, "png") != paper.figure_bytes(a_chart("[U+732B]", *NAMES[1:]), "png")
    assert paper.figure_bytes(chart, "pdf", font=font) == lacking
    assert not recwarn.list


def test_a_font_of_empty_letters_lends_nothing(tmp_path: Path) -> None:
    write_font(tmp_path / "Blank.ttf", "猫", empty=True)
    with installed(tmp_path / "Blank.ttf"):
        assert glyphs.readable("猫") == "[U+732B]"


def test_a_font_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import font_manager

    assert glyphs.readable("猫") == "[U+732B]"
    write_font(tmp_path / "Squares.ttf", "猫")
    before = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *args: [str(tmp_path / "Squares.ttf")])
    monkeypatch.setattr(glyphs, "_found", {})
    glyphs._new_fonts.cache_clear()
    try:
        assert glyphs.readable("猫") == "猫"
    finally:
        font_manager.fontManager.ttflist[:] = before
        font_manager.fontManager._findfont_cached.cache_clear()


def test_our_own_words_need_no_other_font() -> None:
    asked = (
        "import sys; from core.figures.drawing.glyphs import readable; assert readable('2 ℓ2 ≤ ñ\\n') == '2 ℓ2 ≤ ñ\\n'"
    )
    subprocess.run([sys.executable, "-c", f"{asked}; assert 'matplotlib' not in sys.modules"], check=True)
    for font in style.FONTS:
        own = glyphs._signs(font, glyphs._state())
        latin = {chr(code) for code in range(0x20, glyphs._LATIN) if chr(code).isprintable()}
        assert (glyphs._OWN | latin) <= own


def test_control_signs_never_reach_a_file() -> None:
    words = "a\x00b\x1b[2J\u202ec\u200b\ud800 d"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert glyphs.readable(words) == "ab[2Jc\N{REPLACEMENT CHARACTER} d"
        assert "ab[2Jc" in words_of(a_chart(words), "svg")
        json.loads(screen.draw(a_chart(words)).to_json())
    assert glyphs.readable("one\n two \n ") == "one\n two \n "
    assert replace(a_chart("x"), caption="c").caption == "c"


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def tags(page: bytes) -> list[tuple[str, tuple[str, ...]]]:
    return Tags(normalize("NFKC", page.decode())).found


def test_no_name_is_a_mark_of_the_file_that_it_stands_in() -> None:
    traps, kinds = names(TRAPS, "class"), names([""] * len(TRAPS), "class")
    recipe = {"recipe": 1, "models": [trap[:500] for trap in TRAPS]}
    words = {"caption": " ".join(traps), "alt": "".join(TRAPS[:12]), "title": "\n".join(traps[:9]), "recipe": recipe}
    chart, harmless = replace(a_chart(*traps), **words), replace(a_chart(*kinds), title="x", recipe={"recipe": 1})
    page, svg, pdf = screen.page_bytes(chart), paper.figure_bytes(chart, "svg"), paper.figure_bytes(chart, "pdf")
    assert tags(page) == tags(screen.page_bytes(harmless))
    marks = {element.tag for element in ET.fromstring(normalize("NFKC", svg.decode())).iter()}
    assert marks == {element.tag for element in ET.fromstring(paper.figure_bytes(harmless, "svg")).iter()}
    assert pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    for data in (svg, pdf, paper.figure_bytes(chart, "png"), page):
        assert paper.read_recipe(data) == recipe


def test_a_long_name_stays_on_the_page_with_its_share() -> None:
    chart = replace(
        a_chart("x"), legend=tuple(LegendEntry(colour="", label=f"{k} of {'w' * 70} {k}", share=0.25) for k in range(4))
    )
    figure = paper.draw(chart, width_mm=57.0)
    box = figure.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert box.x1 <= figure.get_size_inches()[0]
    labels = [text.get_text() for text in figure.findobj(Text) if ".." in text.get_text()]
    assert [(label[:5], label[-3:]) for label in labels] == [(f"{k} of ", f"w {k}") for k in range(4)]
    assert len(set(labels)) == 4
    assert sum(text.get_text() == "25 %" for text in figure.findobj(Text)) == 4
