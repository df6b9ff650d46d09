r"""Escape text from outside: the names of classes, images, models and files may be hostile.

`name` cleans a name once, where it enters, so that any part of the program can draw it. Output is escaped for its
target, always after normalisation: a full-width backslash is a backslash to programs that normalise.

    page, SVG    `markup`
    table        `cell`, and `comment` for the line of the recipe
    LaTeX, BibTeX    `latex`
    terminal     `plain`
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.errors import one_line

LONGEST = 80  # characters of a name
_TAIL = 32  # characters after the dots of a shortened name
_READ = 2000  # characters of a text that are turned into a name: normalising megabytes takes seconds
_SPELLED = 4  # longest run of characters that is spelled out in code points
# invisible, though not control characters: joiners, Hangul fillers, variation selectors
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_NAME = re.compile("[!-~]+( [!-~]+)*")
_BLANK = re.compile(r"\s+")
_NO_SIGN = re.compile("[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")  # surrogates and noncharacters


def plain(text: str) -> str:
    r"""Text in one line, without characters that control a terminal, a reader or the writing direction.

    >>> plain("a\x1b[2J\u202eb\nc")
    'a[2Jb c'

    Args:
        text: anything.

    Returns:
        The text without control, format, zero-width and direction characters, with single blanks; lone surrogates
        become replacement characters.
    """
    if not (text.isascii() and text.isprintable()):
        text = _NO_SIGN.sub("\N{REPLACEMENT CHARACTER}", _UNSEEN.sub("", text))
        text = "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign) not in ("Cc", "Cf"))
    return _BLANK.sub(" ", text).strip()


def name(text: str, otherwise: str = "") -> str:
    r"""A clean form of a name from outside: normal form NFKC, one line, at most `LONGEST` characters.

    >>> name("\uff43at\u200b"), name("\u202e", "class 3"), len(name(300 * "x"))
    ('cat', 'class 3', 80)

    Args:
        text: anything.
        otherwise: the name where nothing is left.

    Returns:
        The name; a longer one is shortened as by `shortened`.
    """
    if len(text) <= LONGEST and _NAME.fullmatch(text):  # nearly always: sets are cut into rows again and again
        return text
    read = text if len(text) <= _READ else text[: _READ // 2] + text[-_READ // 2 :]
    cleaned = plain(read)
    if not cleaned.isascii():
        cleaned = plain(unicodedata.normalize("NFKC", cleaned))
    return shortened(cleaned, LONGEST, _TAIL) or otherwise


def _digest(text: str) -> str:
    """Four digits that tell shortened texts apart."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:4]


def shortened(text: str, most: int, tail: int | None = None) -> str:
    """Text of limited length: where it is longer, its beginning, four digits of its digest, and its end.

    >>> shortened("cat", 10), shortened("a very long name of a class", 16)
    ('cat', 'a ve..887b..lass')

    Args:
        text: anything.
        most: characters allowed, at least 8.
        tail: characters kept of its end; by default half of those kept.

    Returns:
        The text itself where it is short enough; different texts stay different.
    """
    if len(text) <= most:
        return text
    tail = (most - 8) // 2 if tail is None else tail
    return f"{text[: most - 8 - tail]}..{_digest(text)}..{text[len(text) - tail :]}"


def names(texts: Iterable[str], kind: str) -> tuple[str, ...]:
    r"""Clean and distinct names for texts from outside, one for each.

    >>> names(["cat", "", "\uff43at"], "class")
    ('cat', 'class 1', 'cat (class 2)')

    Args:
        texts: anything.
        kind: what they name. With its number it replaces an empty name, and follows a name that another text already
            has.
    """
    found: dict[str, str] = {}  # the first text of each name
    kept = []
    for number, text in enumerate(texts):
        cleaned = name(text, f"{kind} {number}")
        if found.setdefault(cleaned, text) != text:
            cleaned = name(f"{cleaned} ({kind} {number})")
        kept.append(cleaned)
    return tuple(kept)


def markup(text: str) -> str:
    r"""Text escaped for HTML and XML, between tags or in a quoted attribute.

    >>> markup("<b> \uff1c")
    '&lt;b&gt; &#65308;'

    Args:
        text: anything.

    Returns:
        Text without markup, also after the file is normalised.
    """
    return re.sub(r"[^\x00-\x7f]", _as_number, html.escape(plain(text)))


def _as_number(found: re.Match[str]) -> str:
    sign = found.group()
    return f"&#{ord(sign)};" if set(unicodedata.normalize("NFKC", sign)) & set("<>&\"'") else sign


def cell(text: str) -> str:
    """Text as a cell of comma-separated values, which no spreadsheet takes for a formula.

    >>> cell("demo:photos/standard"), cell("=1+1"), cell("a, b")
    ('demo:photos/standard', "'=1+1", '"a, b"')
    """
    cleaned = plain(unicodedata.normalize("NFKC", plain(text)))
    if cleaned.startswith(("=", "+", "-", "@", "|")):
        cleaned = f"'{cleaned}"
    return cleaned if re.fullmatch(r"'?[\w:/.@=&?+#%~-]*", cleaned) else '"' + cleaned.replace('"', '""') + '"'


def comment(values: Mapping[str, Any] | None) -> str:
    r"""Values as JSON for the first line of a table; no spreadsheet splits a string of it into cells.

    >>> comment({"a": "x,=1"})
    '# {"a": "x\\u002c=1"}'
    """
    text = json.dumps(values, sort_keys=True)
    return "# " + re.sub(r'"(?:[^"\\]|\\.)*"', lambda word: re.sub("[,;|]", _as_escape, word.group()), text)


def _as_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "ℓ": r"$\ell$", "×": r"$\times$", "²": r"$^2$",
    "³": r"$^3$", "‖": r"$\|$", "≤": r"$\le$", "≥": r"$\ge$", "√": r"$\sqrt{}$", "∞": r"$\infty$", "±": r"$\pm$",
    "−": "$-$", "–": "--", "·": r"$\cdot$", "σ": r"$\sigma$", "α": r"$\alpha$", "λ": r"$\lambda$", "°": r"$^\circ$",
    "η": r"$\eta$", "ε": r"$\varepsilon$", "δ": r"$\delta$", "κ": r"$\kappa$", "π": r"$\pi$", "₀": "$_0$", "₁": "$_1$",
    "₂": "$_2$", "¹": "$^1$", "⁻": "$^-$", "…": r"\dots{}", "<": "$<$", ">": "$>$", "|": "$|$", "ß": r"\ss{}",
    "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}",
    "\u0131": r"\i{}", "—": "---", "\u2018": "`", "\u2019": "'", "“": "``", "”": "''", "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip
_ACCENTS = {  # combining characters, as commands for the letter before them
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip


def latex(text: str) -> str:
    r"""Text for LaTeX and BibTeX, in ASCII; letters that they lack become code points.

    >>> latex("50 % of ℓ2_max"), latex("\uff3cinput"), latex("ñandú"), latex("猫 cat")
    ('50 \\% of $\\ell$2\\_max', '\\textbackslash{}input', "\\~{n}and\\'{u}", '[U+732B] cat')
    """
    parts = [_LATEX.get(sign) or _normal(sign) for sign in plain(unicodedata.normalize("NFC", text))]
    return coded("".join(parts), str.isascii)


def _normal(sign: str) -> str:
    """A character that LaTeX does not set itself, in normal form: each part escaped, accents as commands."""
    if sign.isascii():
        return sign
    letter, *accents = tuple(unicodedata.normalize("NFKD", sign))
    if accents and letter.isascii() and letter.isalpha() and all(accent in _ACCENTS for accent in accents):
        for accent in accents:
            letter = f"\\{_ACCENTS[accent]}{{{letter}}}"
        return letter
    return "".join(_LATEX.get(part, part) for part in unicodedata.normalize("NFKC", sign))


def coded(text: str, known: Callable[[str], bool]) -> str:
    """Text with code points for the characters that cannot be written, so that words stay distinct.

    >>> coded("a猫犬", str.isascii), coded("ゴールデン", str.isascii)
    ('a[U+732B U+72AC]', '[U+30B4 U+30FC ... 2914]')

    Args:
        text: the words.
        known: whether a character can be written.

    Returns:
        The words, with each run of other characters in brackets; a long run is given by its first two characters and
        four digits of its digest.
    """
    parts = []
    for fine, signs in itertools.groupby(text, known):
        run = "".join(signs)
        codes = [f"U+{ord(sign):04X}" for sign in run]
        if len(codes) > _SPELLED:
            codes = [*codes[:2], "...", _digest(run)]
        parts.append(run if fine else f"[{' '.join(codes)}]")
    return "".join(parts)


def abbreviated(value: Any) -> str:
    """A value from outside, shortened to fit into one sentence."""
    text = one_line(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
