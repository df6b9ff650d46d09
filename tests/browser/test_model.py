"""One journey with a model of one's own, in a real browser."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from torch import nn
from torchvision import models

from core.figures.drawing.paper import read_recipe
from core.images.load import load_images
from core.models.preprocessing import PRESETS
from core.recipes.recipe import Recipe
from core.sources.models import Source
from tests.links import link

SIDE = 32


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resnet18 of 9 classes, 45 MB: its batch normalisations saw the demo photos as ImageNet's models see images."""
    torch.manual_seed(0)
    net = models.resnet18(num_classes=9)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    shift, scale = (
        torch.tensor(values).view(-1, 1, 1) for values in (PRESETS["imagenet"].mean, PRESETS["imagenet"].std)
    )
    with torch.no_grad():
        net((load_images("demo:photos").pixels[:90] - shift) / scale)
    path = tmp_path_factory.mktemp("model") / "my-net.pt"
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, path)
    return path


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was opened",))


def drop(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(list(files))


def test_bring_mend_slice_export_and_ask_again(
    page: Page,
    new_context: Callable[..., BrowserContext],
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Hostile()))
    page.goto("/model")
    drop(page, tmp_path / "evil.pt")
    expect(page.get_by_text("is a pickle that may run code and wants to import")).to_be_visible()
    expect(page.get_by_role("button", name="Remove evil.pt")).to_have_count(0)  # a new uploader is there

    begin = time.monotonic()
    drop(page, checkpoint)
    expect(page.get_by_role("radio", name="torchvision:resnet18")).to_be_checked()
    expect(page.get_by_text("all 102 tensors fit, 9 classes").first).to_be_visible()
    page.get_by_role("spinbutton", name="Input size").fill(str(SIDE))
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Demo images resized to {SIDE} x {SIDE}")).to_be_visible()
    choose(page, "none: pixels from 0 to 1")
    expect(page.get_by_text("Was it trained so?")).to_be_visible()
    choose(page, "imagenet: torchvision")
    expect(page.get_by_text("Was it trained so?")).to_have_count(0)
    page.get_by_role("button", name="Use this model").click()
    expect(page.get_by_role("heading", name="Slices", exact=True)).to_be_visible()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    print(f"\nfrom upload to first picture, a wrong preset mended on the way: {time.monotonic() - begin:.1f} s")

    page.get_by_role("radio", name="64").click()  # a thousand images, on any machine
    expect(page.locator(".st-key-frame-right").get_by_role("button", name="Export")).to_be_enabled()
    source = Source.parse(link(page, "models"))
    assert source.kind == "upload"
    assert source.options == {
        "arch": "torchvision:resnet18",
        "size": str(SIDE),
        "preset": "imagenet",
        "name": "my-net",
    }
    page.locator(".st-key-frame-right").get_by_role("button", name="Export").click()
    with page.expect_download() as started:
        page.get_by_role("button", name="PNG", exact=True).click()
    started.value.save_as(tmp_path / "slice.png")
    assert Recipe.read(read_recipe(tmp_path / "slice.png")).models == (source.text(),)
    page.keyboard.press("Escape")

    address = page.url
    page.get_by_role("link", name="Home").click()  # the same session: nothing is asked for
    expect(page.get_by_text("minus 0.485, 0.456, 0.406")).to_be_visible()
    page.go_back()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    assert link(page, "models") == source.text()

    other = new_context().new_page()  # another session: it is
    other.goto(address)
    expect(other.get_by_text(f"whose digest begins with {source.place[:8]}, it is not here")).to_be_visible()
    expect(other.get_by_text("my-net")).to_have_count(0)
    drop(other, checkpoint)
    expect(other.get_by_role("button", name="model my-net")).to_be_visible()
    expect(other.locator(".picture[data-loaded]").first).to_be_visible()
    assert link(other, "models") == source.text()


def choose(page: Page, preset: str) -> None:
    option = page.get_by_role("option", name=preset)
    for _ in range(3):  # a page that is drawn anew in between closes the list
        page.get_by_role("combobox", name="Normalisation").click()
        with suppress(PlaywrightTimeout):
            option.wait_for(timeout=10_000)
            break
    option.click()
