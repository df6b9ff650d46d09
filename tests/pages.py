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
