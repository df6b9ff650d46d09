"""Our own errors are shown as they are; of others a sentence and a number are, and the log has the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import CheckpointError, ImageError, RecipeError
from dashboard.server.application import shown
from dashboard.state import drafts
from dashboard.work.jobs import Jobs
from dashboard.work.unforeseen import user_message

CHECKOUT = Path(__file__).resolve().parents[3]

SENTENCE = re.compile(
    r"something here failed that nobody foresaw \(reference ([0-9A-F]{4}-[0-9A-F]{2})\);"
    r" the log has the details under that number"
)


@pytest.mark.parametrize("kind", [CheckpointError, ImageError, RecipeError, ValueError])
def test_our_own_sentences_are_shown_as_they_are(kind: type[ValueError], caplog: pytest.LogCaptureFixture) -> None:
    assert user_message(kind("expected a file, got none; choose one")) == "expected a file, got none; choose one"
    assert user_message(kind("expected a file,\n got none")) == "expected a file, got none"
    assert not caplog.records


def overflow() -> None:
    overflow()


@pytest.mark.parametrize(
    ("fail", "kind"),
    [
        (lambda: b"\xff".decode(), UnicodeDecodeError),
        (lambda: json.loads("{"), json.JSONDecodeError),
        (lambda: float("five"), ValueError),
        (lambda: list(zip([1], [], strict=True)), ValueError),
        (lambda: 1 / 0, ZeroDivisionError),
        (lambda: Path("/none/such").read_text(), FileNotFoundError),
        (overflow, RecursionError),
    ],
)
def test_what_nobody_foresaw_is_logged_once_under_its_number(
    fail: Callable[[], object], kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(kind) as caught:
        fail()
    said = user_message(caught.value)
    found = SENTENCE.fullmatch(said)
    assert found is not None
    assert user_message(caught.value) == said
    (record,) = caplog.records
    assert record.getMessage() == f"reference {found[1]}"
    assert record.exc_info is not None
    assert record.exc_info[1] is caught.value
    assert user_message(ValueError(said)) == said  # a page that passes it on


def test_a_page_that_fails_says_one_sentence_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = AppTest.from_file(str(CHECKOUT / "dashboard" / "app.py"), default_timeout=120)

    def fail() -> None:
        raise KeyError("/none/such/secret")

    with monkeypatch.context() as broken:
        broken.setattr(drafts, "draft", fail)
        app.switch_page("views/model.py")
        app.run()
    assert not app.exception
    (said,) = [element.value for element in app.error]
    found = SENTENCE.fullmatch(said.replace("\\", ""))
    assert found is not None
    assert f"reference {found[1]}" in caplog.text
    assert "/none/such/secret" in caplog.text
    (button,) = [each for each in app.button if each.label == "Start over"]
    button.click().run()
    assert (len(app.error), len(app.exception)) == (0, 0)


def test_a_picture_that_cannot_be_drawn_leaves_the_rest_of_the_page() -> None:
    def script() -> None:
        import streamlit as st

        from dashboard.state import session

        def body() -> None:
            with session.in_words():
                raise IndexError("list index out of range")

        st.fragment(body)()
        with session.in_words():
            st.write("below")
            st.stop()
        st.write("never")

    app = AppTest.from_function(script).run()
    assert not app.exception
    (said,) = [element.value for element in app.error]
    assert SENTENCE.fullmatch(said.replace("\\", ""))
    assert [each.value for each in app.markdown] == ["below"]


def test_a_job_that_fails_has_the_number_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    job = Jobs().submit("ada", "key", lambda on_progress: {}["nothing"])
    assert job.wait(10)
    assert job.error is not None
    found = SENTENCE.fullmatch(user_message(job.error))
    assert found is not None
    (record,) = caplog.records
    assert record.getMessage() == f"reference {found[1]}"


def test_a_callback_that_fails_is_told_in_one_sentence_too() -> None:
    """Streamlit hands what nothing has caught to the server's handler."""

    def script() -> None:
        import streamlit as st

        from dashboard.server.application import shown

        assert shown(KeyError("secret"))
        st.caption("after")

    app = AppTest.from_function(script).run()
    assert not app.exception
    assert [bool(SENTENCE.fullmatch(each.value.replace("\\", ""))) for each in app.error] == [True]
    assert [each.value for each in app.caption] == ["after"]


def test_the_server_has_that_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.server import application
    from dashboard.uploads import limits

    made: list[Any] = []
    monkeypatch.setattr(application, "Runtime", made.append)
    application.Server(CHECKOUT / "dashboard" / "app.py", limits.OWN_MACHINE)._create_runtime()
    assert made[0].on_script_error is shown
