"""Words from outside reach a page as they are."""

import pytest

from dashboard.viewer.words import escape_markdown


def test_markdown_is_shown_not_followed() -> None:
    assert escape_markdown("![](//e.io/a.png) <b> `x` $y$ a_b *c*") == (
        r"!\[\]\(//e.io/a.png\) \<b\> \`x\` \$y\$ a\_b \*c\*"
    )


@pytest.mark.parametrize(
    ("words", "kept_apart"),
    [
        ("got http://e.io, HTTPS://e.io", "got http\u2060://e.io, HTTPS\u2060://e.io"),
        ("www.e.io or a@e.io", "www\u2060.e.io or a@\u2060e.io"),
        (":material/home: :smile:", ":\u2060material/home: :\u2060smile:"),
        (":red[x]", r":⁠red\[x\]"),
        ("a -> b--c", "a -\u2060\\> b-\u2060-c"),
        ("- a\n1. b\n# c", "\\- a\n1\\. b\n\\# c"),
    ],
)
def test_addresses_do_not_become_links_nor_names_pictures(words: str, kept_apart: str) -> None:
    assert escape_markdown(words) == kept_apart


@pytest.mark.parametrize(
    "words",
    [
        "expected rows below 540, the size of demo:photos, got 9999",
        "untrained:demo:photos/vit, analytic:ball:untrained:upload:ab12 and untrained:7:timm:resnet18",
        "models: expected one of demo:photos, demo:digits@224; 1.5e-3 - 2 + 4 = x, photos/standard #3",
    ],
)
def test_plain_words_stay_as_they_are(words: str) -> None:
    assert escape_markdown(words) == words
