"""A server for many: wild links change nothing, a login is asked for where one is set, and nothing is left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.errors import CheckpointError
from core.recipes.store import Store
from core.result import Result
from core.runtime.cache import LRU
from dashboard.state import login, resources
from dashboard.uploads import limits, session_uploads
from dashboard.viewer.words import escape_markdown
from tests import truths

CHECKOUT = Path(__file__).resolve().parents[2]

Settle = Callable[..., AppTest]

SENTENCE = re.compile(
    r"something here failed that nobody foresaw \(reference ([0-9A-F]{4}-[0-9A-F]{2})\);"
    r" the log has the details under that number"
)


@pytest.fixture
def app(dashboard: AppTest) -> AppTest:
    """The dashboard, with coarse slices."""
    dashboard.session_state["settings:slice"] = {"resolution": 64}
    return dashboard


@pytest.mark.parametrize(
    "wild",
    [
        {"images": "/etc/passwd"},
        {"images": "../../../../etc"},
        {"images": "file:///etc/passwd"},
        {"images": "torchvision:CIFAR10?root=/&split=test"},
        {"images": "upload:../../etc/passwd?size=32"},
        {"images": "upload:0123?size=99999999"},
        {"images": "upload:0123?colour=red"},
        {"images": "upload:" + "a" * 5000},
        {"images": "demo:photos@100000"},
        {"images": "demo:photos\0"},
        {"images": "?"},
        {"models": "upload:../../x?arch=torchvision:resnet18"},
        {"models": "module:/tmp/x.py:run"},
        {"rows": "1e9,-1,nan"},
        {"rows": ",".join(["1"] * 10_000)},
        {"extent": "nan,inf,0,0", "point": "1e999,0", "also": "<script>"},
        {"resolution": "9" * 5000},
        {"__class__": "x", "settings:slice": "{}"},
    ],
)
def test_wild_links_change_nothing_and_are_told(app: AppTest, settle: Settle, wild: dict[str, str]) -> None:
    app.switch_page("views/slices.py")
    for name, value in {"resolution": "64", **wild}.items():
        app.query_params[name] = value
    settle(app)
    assert not app.exception, [element.value for element in app.exception]
    assert app.session_state["models"] == ("demo:photos/standard",)
    assert app.session_state["images"] == "demo:photos"
    assert app.session_state["rows"] == (3, 17, 42)
    (said,) = [element.value for element in app.error]
    assert said.startswith("This link ")
    assert len(said) < 1500


def test_a_login_is_asked_for_only_where_one_is_set(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    app.run()
    assert [each.key for each in app.button if each.key in ("login", "logout")] == []
    monkeypatch.setattr(login, "configured", lambda: True)
    person = SimpleNamespace(is_logged_in=False, get={"email": "ada@example.org"}.get)
    monkeypatch.setattr(st, "user", person)
    app.run()
    assert not app.exception
    assert [each.key for each in app.button] == ["login"]
    assert len(app.main) < 6  # nothing of the page is drawn
    person.is_logged_in = True
    app.run()
    assert not app.exception
    assert "logout" in [each.key for each in app.button]
    assert escape_markdown("ada@example.org") in [each.value for each in app.caption]


def test_what_fails_unexpectedly_shows_no_path_and_leaves_the_queue_working(
    app: AppTest, settle: Settle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError(f"cannot open {CHECKOUT}/secret.key")

    app.session_state["settings:slice"] = {"resolution": 72}  # which no other page has asked for
    with monkeypatch.context() as broken:
        broken.setattr(Store, "fetch", fail)
        app.switch_page("views/slices.py")
        settle(app)
    assert not app.exception
    (said,) = [element.value for element in app.error]
    reference = SENTENCE.fullmatch(said.replace("\\", ""))
    assert reference is not None
    (logged,) = [record for record in caplog.records if record.name == "dashboard.work.unforeseen"]
    assert reference[1] in logged.getMessage()
    assert "secret.key" in caplog.text
    app.button(key="slice:again").click()
    settle(app)
    assert (len(app.error), len(app.exception)) == (0, 0)
    assert app.get("bidi_component")  # the picture


def test_uploads_go_when_the_server_ends(tmp_path: Path) -> None:
    (tmp_path / f"{session_uploads._FOLDER}-{os.getuid()}").mkdir(mode=0o755)  # as if somebody had opened it
    script = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from dashboard.uploads.session_uploads import Uploads\n"
        "upload = Uploads().add([('a.png', b'pixels')])\n"
        "path = upload.paths[0]\n"
        "print(path.exists(), *(oct(each.stat().st_mode & 0o777) for each in (path, *list(path.parents)[:3])))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0o600", "0o700", "0o700", "0o700"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (root,) = tmp_path.iterdir()
    assert root.name.startswith(session_uploads._FOLDER)
    assert list(root.iterdir()) == []


def test_uploads_of_all_sessions_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    others = sum(each.size for each in session_uploads._everybody)
    monkeypatch.setattr(limits, "_current", limits.Limits(all_uploads=others + 100))
    first, second = session_uploads.Uploads(), session_uploads.Uploads()
    try:
        first.add([("a", bytes(60))])
        with pytest.raises(CheckpointError, match="all who use this server fill it; try again later"):
            second.add([("b", bytes(60))])
        first.close()
        second.add([("b", bytes(60))])
    finally:
        first.close()
        second.close()


def test_results_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.geometry.boundary.deepfool import boundary_points

    classifier = truths.classifier(truths.NearestCentre(truths.images(3, (1, 8, 8), 1)), (1, 8, 8))
    found = boundary_points(classifier, truths.images(4, (1, 8, 8), 2).float())
    shelf = Store(tmp_path), LRU[str, Result](int(2.5 * found.nbytes))
    monkeypatch.setattr(resources, "shelf", lambda: shelf)
    for name in ("aa", "bb"):
        shelf[1].put(name, found, found.nbytes)
    assert resources.stored("aa") is found
    shelf[1].put("cc", found, found.nbytes)
    assert resources.stored("bb") is None  # used longest ago
    assert resources.stored("aa") is found
    assert np.isfinite(found.distance).any()
