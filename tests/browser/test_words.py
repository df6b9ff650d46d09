"""Words from outside are shown as they are: nothing of them becomes a link, a picture, a colour or a list."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

WORDS = (
    "http://evil.example/a see https://evil.example and HTTP://EVIL.example",
    "www.evil.example WWW.evil.example a.b@evil.example mailto:a@evil.example ftp://evil.example //evil.example",
    ":material/home: :smile: :red[x] :blue-background[y] :small[z] :+1: :red-badge[q] {y} :red{a=b}",
    "~~gone~~ **b** __c__ $x$ `q` <b>h</b> &amp; &copy; | a | b | [a](b) ![](c)",
    "a -> b <- c -- d ... (c) >= <= ~= != +- <-> <=> =>",
    "# head",
    "- item",
    "1. one",
    "> quote",
    "a\n===\nb",
    "untrained:demo:photos/vit, demo:photos@224, C:/x.pt: no",
)
PAGE = f"""
import streamlit as st
from dashboard.viewer.words import escape_markdown
for words in {WORDS!r}:
    st.error(escape_markdown(words))
"""
MADE = "a, code, strong, em, del, h1, h2, li, blockquote, img, table, span, .katex"


def test_words_are_shown_not_followed(page: Page, serve_page: Callable[..., str]) -> None:
    page.goto(serve_page(PAGE))
    shown = page.get_by_test_id("stAlertContainer").get_by_test_id("stMarkdownContainer")
    expect(shown).to_have_count(len(WORDS))
    for each in shown.all():  # text is drawn after the box around it
        expect(each).not_to_be_empty()
    assert [each.replace("\u2060", "") for each in shown.all_text_contents()] == list(WORDS)
    assert shown.locator(MADE).count() == 0
