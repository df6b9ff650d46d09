"""Words from outside: clean where they enter, escaped where they leave, whatever anybody writes."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.wording import LONGEST, cell, coded, comment, latex, markup, name, names, plain

TRAPS = (
    "\uff3cinput{/etc/passwd}",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "</script><script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\uff1d1+1",
    'a",=1+1;@b\t+2',
    "cat\u202egpj.exe",
    "\u200e\u200fa\u2066b\u2069c\u200bd\u2028e\u2029f",
    "\x00\x1b]0;title\x07",
    "half \ud83d pair \udcff",
    "^^5cinput &#92; \\\\%$#_{}~^",
    "--- [x] * \u0130\u0131",
    "\u00e9\u0323\u0301 \ufb01 \u00bd \u2126",
    "",
    "\u202e",
    "x" * 100_000,
    "\ufdfa" * 80,
)
LIVE = "=+-@|<>&\"'\\{}[]*%$#^~_;,\uff1d\uff1c\uff3c\u202e\u200b\x00\ud800 a"
TEXT = st.text(st.characters(), max_size=60) | st.text(LIVE)
BAD = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def traps(test):  # type: ignore[no-untyped-def]
    for each in TRAPS:
        test = example(each)(test)
    return test


@traps
@given(TEXT)
def test_plain_text_controls_nothing_and_is_unchanged(text: str) -> None:
    said = plain(text)
    assert not {unicodedata.category(sign) for sign in said} & BAD
    assert said == plain(said) == " ".join(said.split())
    said.encode()


@traps
@given(TEXT)
def test_a_name_is_short_normal_and_idempotent(text: str) -> None:
    said = name(text, "class 3")
    assert said == name(said)
    assert 0 < len(said) <= LONGEST
    assert unicodedata.is_normalized("NFKC", said)
    assert not {unicodedata.category(sign) for sign in said} & BAD


def test_ordinary_names_are_unchanged() -> None:
    kept = ("cat", "tench, Tinca tinca", "ñandú", "猫", "🙂", "<b>", "=1", "c++", "кот")
    assert names(kept, "class") == kept
    assert names(["", "\u200b", "b"], "class") == ("class 0", "class 1", "b")
    long = [name("n" * 60 + middle + "x" * 60) for middle in "ab"]  # told apart by what is not shown
    assert all(re.fullmatch("n{40}[.]{2}[0-9a-f]{4}[.]{2}x{32}", each) for each in long)
    assert long[0] != long[1]
    assert name("a\u0301") == "á"
    assert name("m\u00b2") == "m2"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.alt = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.alt = dict(attrs).get("alt") or ""

    def handle_data(self, data: str) -> None:
        self.text += data


@traps
@given(TEXT)
def test_markup_is_text_in_html_and_xml_even_when_normalised(text: str) -> None:
    page = f'<p alt="{markup(text)}">{markup(text)}</p>'
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert (reader.tags, reader.text, reader.alt) == (["p"], plain(text), plain(text))
    found = ET.fromstring(page)
    assert (found.text or "", found.attrib["alt"]) == (plain(text), plain(text))
    other = Reader()
    other.feed(unicodedata.normalize("NFKC", page))
    assert other.tags == ["p"]


@traps
@given(TEXT)
def test_a_cell_is_one_cell_and_not_a_formula(text: str) -> None:
    (row,) = csv.reader(io.StringIO(f"{cell(text)},1\n"))
    assert len(row) == 2
    assert not row[0].startswith(("=", "+", "-", "@", "|"))
    assert row[0].removeprefix("'") == plain(unicodedata.normalize("NFKC", plain(text))).removeprefix("'")
    assert unicodedata.normalize("NFKC", row[0])[:1] not in set("=+-@|")


@traps
@given(TEXT)
def test_the_recipe_comment_is_json_without_a_formula_after_a_comma(text: str) -> None:
    line = comment({"models": [text, text], "rows": [1, -2]})
    assert json.loads(line.removeprefix("# ")) == {"models": [text, text], "rows": [1, -2]}
    assert line.isascii()
    for cells in (line.split(","), line.split(";"), line.split("|"), line.split("\t")):
        assert not [each for each in cells if re.match(r"\s*[=+@]|-\D", each)]


COMMANDS = set(re.findall(r"\w+", """
    textbackslash textasciitilde textasciicircum ell times le ge sqrt infty pm cdot sigma alpha lambda circ eta
    varepsilon delta kappa pi dots ss ae AE oe OE o O l L i u r H v d c b
"""))  # fmt: skip


@traps
@given(TEXT)
def test_latex_prints_the_text_and_runs_nothing(text: str) -> None:
    said = latex(text)
    assert said.isascii()
    assert said.isprintable()
    assert said == unicodedata.normalize("NFKC", said)
    left = re.sub(r"\\([A-Za-z]+)", lambda found: "" if found[1] in COMMANDS else "!!", said)
    assert "!!" not in left, said  # no other command
    left = re.sub(r"\\[&%$#_{}'`^~=.\"|]", "", left)
    assert not set(left) & set("\\&%#~"), said
    assert left.count("$") % 2 == 0
    depth = 0
    for sign in left:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"[\^_]", re.sub(r"\$[^$]*\$", "", left)), said


def test_latex_keeps_letters_distinct() -> None:
    words = ("pêche", "péché", "peche", "猫", "犬", "Ørsted", "straße", "кот", "\uff3ca", "\ufb01sh", "½")
    assert [latex(word) for word in words] == [
        r"p\^{e}che", r"p\'{e}ch\'{e}", "peche", "[U+732B]", "[U+72AC]", r"\O{}rsted", r"stra\ss{}e",
        "[U+043A U+043E U+0442]", r"\textbackslash{}a", "fish", "1[U+2044]2",
    ]  # fmt: skip
    assert len({latex(word) for word in words}) == len(words)


@given(TEXT, TEXT)
def test_code_points_keep_words_distinct(one: str, other: str) -> None:
    one, other = (text.replace("[", "").replace("]", "") for text in (one, other))
    if len({one[:4], other[:4]}) == 2:
        assert coded(one[:4], str.isascii) != coded(other[:4], str.isascii)


def test_names_are_cleaned_on_entry() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    asked = Classifier(module, (1, 2, 2), ["\uff1cb\uff1e", "\u202e", "x" * 999], name="n\x00et", device="cpu")
    assert asked.class_names[:2] == ("<b>", "class 1")
    assert len(asked.class_names[2]) == LONGEST
    assert asked.name == "net"
    plain_set = ImageSet(torch.zeros(2, 1, 2, 2), torch.tensor([0, -1]), ("a\nb", ""), ("\u200bcat",), "here")
    assert plain_set.names == ("a b", "image 1")
    assert plain_set[1].names == ("image 1",)
    assert plain_set.words == ("cat", "image 1")
    with pytest.raises(ValueError, match="3 class names"):
        Classifier(module, (1, 2, 2), ["a"], device="cpu")
    assert np.unique(asked.class_names).size == 3
