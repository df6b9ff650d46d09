"""What tests of pages share: that a page is well, and its widgets by the names in the code."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest


def healthy(app: AppTest) -> AppTest:
    """The page itself, which shows no error."""
    assert not app.exception, [element.value for element in app.exception]
    assert not app.error, [element.value for element in app.error]
    return app


def widget(elements: Any, name: str) -> Any:
    """The widget of this name, whichever key it has by now; see `dashboard.widgets.showing.showing`."""
    (found,) = [each for each in elements if each.key == name or str(each.key).startswith(f"{name} ")]
    return found


def words(app: AppTest) -> str:
    """All captions and Markdown of a page."""
    return "\n".join(element.value for element in (*app.caption, *app.markdown))


def facts(app: AppTest) -> str:
    """All HTML of a page: names with their values, tables, legends."""
    return " ".join(element.proto.body for element in app.get("html"))


def press(app: AppTest, label: str) -> None:
    """Click the first button whose label begins so; it takes effect with the next run."""
    next(button for button in app.button if button.label.startswith(label)).click()
