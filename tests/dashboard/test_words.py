"""Words from outside reach a page as they are."""

from dashboard.words import literal


def test_markdown_is_shown_not_followed() -> None:
    assert literal("![](//e.io/a.png) <b> `x` $y$ a_b *c*") == (r"!\[\]\(//e.io/a.png\) \<b\> \`x\` \$y\$ a\_b \*c\*")


def test_plain_words_stay_as_they_are() -> None:
    words = "expected rows below 540, the size of demo:photos, got 9999"
    assert literal(words) == words
