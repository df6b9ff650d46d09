"""The gallery shows every recipe that comes along, and each opens its view, with its models or with the chosen one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.recipes.gallery import exhibit, gallery
from tests.pages import healthy

Settle = Callable[..., AppTest]


@pytest.fixture
def app(dashboard: AppTest, settle: Settle) -> AppTest:
    """The gallery."""
    return healthy(settle(dashboard.switch_page("views/gallery.py")))


def test_every_recipe_is_shown_under_its_paper(app: AppTest) -> None:
    assert [heading.value for heading in app.subheader] == list(dict.fromkeys(each.paper for each in gallery()))
    said = " ".join(element.value.replace("\\", "") for element in app.markdown)
    assert all(each.title in said and each.line in said for each in gallery())
    assert len(app.get("image")) == len(gallery())


def test_one_opens_its_view_with_all_it_says(app: AppTest, settle: Settle) -> None:
    app.button(key="gallery:open:limits").click()
    app.run()
    assert app.title[0].value == "Limits"
    app.switch_page("views/limits.py")  # where a browser would be now
    healthy(settle(app))
    assert app.title[0].value == "Limits"
    assert dict(app.query_params) == exhibit("limits").recipe.query()


def test_one_is_asked_of_the_chosen_model(app: AppTest, settle: Settle) -> None:
    app.session_state["models"], app.session_state["images"] = ("demo:digits/prime",), "demo:digits"
    app.button(key="gallery:mine:blind_spot").click()
    app.run()
    assert app.title[0].value == "Level sets"
    app.switch_page("views/level_sets.py")
    healthy(settle(app))
    assert app.query_params["models"] == "demo:digits/prime"
    assert app.query_params["images"] == "demo:digits"
    assert app.query_params["rows"] == ",".join(map(str, exhibit("blind_spot").recipe.rows))
    assert app.query_params["show"] == "ends"
