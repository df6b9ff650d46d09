"""Weights are fetched from a server of this machine: with progress, checked, and told in one sentence where not."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from core.errors import CheckpointError
from core.models import downloads
from core.models.load import load_classifier
from core.models.registries import untrained

Serve = Callable[[dict[str, bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server of some files by path: `serve(files)` gives its address."""
    running: list[ThreadingHTTPServer] = []

    def start(files: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
                self.send_header(*("X-Error-Code", "RepoNotFound") if content is None else ("X-Repo-Commit", "0" * 40))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content or b"")

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of what was fetched before: empty ones, and no proxy."""
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Terminal(io.StringIO):
    """Standard error as a person sees it."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From now on; pytest puts its own in place before each test."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let torchvision look for SqueezeNet there."""
    from torchvision.models import SqueezeNet1_1_Weights

    monkeypatch.setitem(SqueezeNet1_1_Weights.IMAGENET1K_V1.value.__dict__, "url", url)


def hub_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the hub's client look there, as HF_ENDPOINT does."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template)


def squeezenet() -> tuple[str, bytes]:
    """A name with the hash that torchvision checks, and a state dict."""
    buffer = io.BytesIO()
    torch.save(untrained("torchvision:squeezenet1_1", 1000).state_dict(), buffer)
    return f"/squeezenet1_1-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth", buffer.getvalue()


def test_torchvision_shows_bytes_share_and_rate_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    place, content = squeezenet()
    at(monkeypatch, serve({place: content}) + place)
    terminal = watched(monkeypatch)
    classifier = load_classifier("torchvision:squeezenet1_1?size=64", "cpu")
    said = terminal.getvalue()
    for words in ("100%|", "4.73M/4.73M", "B/s"):
        assert words in said
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    shift, scale = torch.tensor(classifier.mean).view(-1, 1, 1), torch.tensor(classifier.std).view(-1, 1, 1)
    expected = untrained("torchvision:squeezenet1_1", 1000)((images - shift) / scale)
    torch.testing.assert_close(classifier(images), expected, atol=1e-5, rtol=0)
    load_classifier("torchvision:squeezenet1_1?size=64", "cpu")  # from the folder
    assert terminal.getvalue() == said


def test_the_hub_shows_bytes_share_and_rate(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    net = untrained("timm:resnet10t", 4)
    mean = [0.5, 0.25, 0.125]
    said = {"input_size": [3, 64, 64], "mean": mean, "std": [0.5] * 3, "num_classes": 4}
    said |= {"first_conv": "conv1.0", "classifier": "fc"}
    facts = {"architecture": "resnet10t", "num_classes": 4, "pretrained_cfg": said}
    files = {"config.json": json.dumps(facts).encode(), "model.safetensors": save(dict(net.state_dict()))}
    url = serve({f"/me/net/resolve/0123/{name}": content for name, content in files.items()})
    hub_at(monkeypatch, url)
    terminal = watched(monkeypatch)
    classifier = load_classifier("hf-hub:me/net@0123", "cpu")
    assert (classifier.input_shape, classifier.num_classes, classifier.mean) == ((3, 64, 64), 4, tuple(mean))
    torch.testing.assert_close(dict(classifier.module.named_parameters())["fc.weight"].data, net.fc.weight.data)
    for words in ("model.safetensors: 100%", "M/", "B/s"):
        assert words in terminal.getvalue()
    with pytest.raises(
        CheckpointError, match="expected to fetch other, got RepositoryNotFoundError.*; look at the net"
    ):
        load_classifier("hf-hub:me/other@0123", "cpu")


def test_weights_damaged_in_transit_are_refused_and_not_kept(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place, content = squeezenet()
    at(monkeypatch, serve({place: content[:-1000]}) + place)
    with pytest.raises(CheckpointError, match="got RuntimeError: invalid hash value .*; look at the network and the"):
        load_classifier("torchvision:squeezenet1_1", "cpu")
    assert [path for path in (tmp_path / "torch").rglob("*") if path.is_file()] == []


# -- offline ----------------------------------------------------------------------------------------------------------


def fails(error: Exception) -> Callable[..., Any]:
    def raises(*args: object, **kwargs: object) -> Any:
        raise error

    return raises


def test_being_offline_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(downloads.socket, "getaddrinfo", fails(OSError("no network")))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fails(OSError("Name or service not known")))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails(OSError("Name or service not known")))
    for source in ("torchvision:resnet18", "timm:resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k@0123"):
        with pytest.raises(
            CheckpointError, match=r"got OSError: Name .* known; look at the network and the name, or fetch"
        ):
            load_classifier(source, "cpu")


def test_a_missing_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "http://127.0.0.1:9/squeezenet1_1-00000000.pth")
    with pytest.raises(CheckpointError) as told:
        load_classifier("torchvision:squeezenet1_1", "cpu")
    assert "expected to fetch squeezenet1_1 IMAGENET1K_V1, got URLError: " in str(told.value)
    assert "Connection refused" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_hub_whose_name_cannot_be_resolved_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_at(monkeypatch, "https://mirror.example:8443")
    asked: list[tuple[Any, ...]] = []

    def unknown(*place: object) -> Any:
        asked.append(place)
        raise OSError("Name or service not known")

    monkeypatch.setattr(downloads.socket, "getaddrinfo", unknown)
    with pytest.raises(CheckpointError, match="expected to fetch net, got .*; look at the network and the name, or"):
        load_classifier("hf-hub:me/net@0123", "cpu")
    assert asked == [("mirror.example", 8443)]  # and no attempt to connect
