"""What a page's link says."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Page


def link(page: Page, name: str) -> str:
    """A setting in the page's link; "" where it is at its default."""
    return parse_qs(urlparse(page.url).query).get(name, [""])[0]
