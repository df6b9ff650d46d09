"""Pages that stay open from test to test, for opening one takes seconds: each test begins anew by its "Start over".

Such a page holds `START`; the keys of what it shows hold its `times`, so that the browser keeps nothing of them.
"""

from __future__ import annotations

from playwright.sync_api import Browser, Page, ViewportSize, expect

START = """
def start_over():
    times = st.session_state.get("times", 0)
    st.session_state.clear()
    st.session_state["times"] = times + 1


times = st.session_state.get("times", 0)
st.button("Start over", key=f"start-{times}", on_click=start_over)
"""


class Visits:
    """The open pages of a browser's own profile, by their addresses, in which nothing may fail, nor complain.

    Args:
        browser: where.
        width: of the window, in pixels.
        height: of the window.
        has_touch: whether fingers are heard.
    """

    def __init__(self, browser: Browser, width: int, height: int, *, has_touch: bool = False) -> None:
        self._window: ViewportSize = {"width": width, "height": height}
        self.context = browser.new_context(viewport=self._window, color_scheme="light", has_touch=has_touch)
        self._pages: dict[str, tuple[Page, int]] = {}
        self._complaints: list[str] = []
        self.context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        self.context.on(
            "console", lambda message: self._complaints.append(message.text) if message.type == "error" else None
        )

    def __call__(self, address: str) -> tuple[Page, int]:
        """The page at an address, as if it were new, and how often a test has begun on it before."""
        if address in self._pages:
            page, times = self._pages[address]
            times += 1
            page.bring_to_front()
            page.set_viewport_size(self._window)
            page.get_by_role("button", name="Start over").click()
        else:
            page, times = self.context.new_page(), 0
            page.goto(address)
        self._pages[address] = page, times
        expect(page.locator(f".st-key-start-{times}")).to_be_visible()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        return page, times

    def complaints(self) -> list[str]:
        """What was complained of since the last time."""
        said, self._complaints = self._complaints, []
        return said
