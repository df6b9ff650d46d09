"""Two people at once: what one brings, the other cannot see, though both know its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.hostile_images import archive, encoded, png


@pytest.fixture(scope="module")
def pets() -> bytes:
    """Three pictures, and one that claims to be a thousand times as large as memory."""
    pictures = {
        f"pets/{name}.png": encoded(values=np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8))
        for seed, name in enumerate(("ada", "bob", "cleo"))
    }
    return archive({**pictures, "pets/bomb.png": png(60_000, 60_000)})


def drop(page: Page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "", "buffer": content})


def test_reading_can_be_cancelled(page: Page) -> None:
    flat = encoded(values=np.full((1200, 1200, 3), 90, np.uint8))
    page.goto("/images")
    drop(page, "many.zip", archive({f"{row:03}.png": flat for row in range(150)}))
    expect(page.get_by_text("Reading the pictures")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Reading the pictures")).to_have_count(0)
    expect(page.get_by_text("None yet.")).to_be_visible()
    expect(page.get_by_text("In the file")).to_have_count(0)


def test_two_sessions_do_not_see_each_others_images(
    page: Page, new_context: Callable[..., BrowserContext], pets: bytes
) -> None:
    page.goto("/images")
    drop(page, "pets.zip", pets)
    expect(page.get_by_text("Left out: 1 of 4 files. The rest is kept.")).to_be_visible()
    page.get_by_role("button", name="Use these images").click()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    expect(page.get_by_text("C: cleo.png, row 2")).to_be_visible()
    deadline = time.monotonic() + 30
    while "images=upload" not in page.url and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert "images=upload" in page.url
    path = "/" + page.url.split("/", 3)[3]

    other = new_context().new_page()
    other.goto(path)
    expect(other.get_by_text("whose digest begins with").first).to_be_visible()
    expect(other.get_by_text("cleo.png")).to_have_count(0)
    expect(other.get_by_text("images 3 of 540").first).to_be_visible()
    other.goto("/images")
    expect(other.get_by_text("None yet.")).to_be_visible()
    other.goto(f"/slices?images={quote('/etc/passwd')}")
    expect(other.get_by_text("This link")).to_be_visible()
    other.goto(path)
    drop(other, "the same.zip", pets)  # whoever has the file may follow the link
    expect(other.get_by_text("C: cleo.png, row 2")).to_be_visible()

    page.get_by_role("link", name="Images").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("None yet.")).to_be_visible()
    expect(other.get_by_text("C: cleo.png, row 2")).to_be_visible()  # each has a file of its own
