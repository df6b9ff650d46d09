"""The dashboard: navigation, and the frame with the current choice."""

import streamlit as st

from dashboard.state import address, links, login, missing_uploads, session
from dashboard.viewer.words import LENSES, escape_markdown
from dashboard.widgets.frame import frame
from dashboard.work import garbage, jobs, warm

LOOK = """
<style>
[data-testid="stHeader"] { background: transparent; height: 2.6rem; min-height: 0; pointer-events: none; }
[data-testid="stHeader"] * { pointer-events: none; }
[data-testid="stHeader"] button, [data-testid="stHeader"] button * { pointer-events: auto; }
[data-testid="stMainBlockContainer"] { padding: 0.9rem 2.6rem 3rem 1.6rem; max-width: 1560px; }
[data-testid="stSidebarContent"] { display: flex; flex-direction: column; }
[data-testid="stSidebarHeader"] { height: 1.2rem; min-height: 0; padding-bottom: 0; margin-bottom: 0; }
[data-testid="stSidebarUserContent"] { order: 1; flex: none; padding: 0 0.5rem 1rem 0.6rem; }
[data-testid="stSidebarNav"] { order: 2; }
[data-testid="stSidebarNavSeparator"] { display: none; }
[data-testid="stNavSectionHeader"] { font-size: 0.72rem; letter-spacing: 0.08em; text-transform: uppercase;
  opacity: 0.65; }
h1 { padding: 0.1rem 0 0 !important; }
.st-key-brand p { margin: 0; line-height: 1.35; white-space: nowrap; font-size: 0.8rem; }
.st-key-brand strong { font-family: Georgia, "Times New Roman", "DejaVu Serif", serif; font-size: 1.05rem; }
.st-key-frame { padding-right: 1.6rem; }
.st-key-frame button { border-radius: 999px; min-height: 0; padding: 0.15rem 0.8rem; }
.st-key-frame-right button { border-radius: 0.5rem; }
.st-key-frame-right [data-testid="stBidiComponentIsolated"]::part(button) { min-height: 0; padding: 0.15rem 0.8rem; }
[class*="-upload-"] [data-testid="stFileUploaderDropzoneInstructions"] { display: none; }
[data-testid="stButtonGroup"] button { padding-left: 0.3rem; padding-right: 0.3rem; min-width: 0; font-size: 0.86rem; }
[data-testid="stButtonGroup"] button[data-selected="true"], button[data-selected="true"] * {
  color: inherit !important; font-weight: 600; }
.stMarkdown thead { display: none; }
.bar { display: grid; grid-template-columns: 5.5rem 1fr 3rem; gap: 0.5rem; align-items: center; font-size: 0.85rem; }
.bar div { height: 9px; border-radius: 5px; background: color-mix(in srgb, currentColor 9%, transparent); }
.bar i { display: block; height: 9px; border-radius: 5px; }
.bar b, .fact b { font-weight: 500; text-align: right; font-variant-numeric: tabular-nums; }
.fact { display: grid; grid-template-columns: 1fr auto; font-size: 0.87rem; line-height: 1.55; }
.fact span { opacity: 0.7; }
.stMain [data-testid="stPageLink"] p { text-decoration: underline; text-underline-offset: 3px; }
.facts { width: 100%; border-collapse: collapse; font-size: 0.87rem; line-height: 1.3; }
.facts th, .facts td { padding: 0.15rem 0 0.15rem 0.6rem; text-align: right; vertical-align: baseline; font-weight: 500;
  font-variant-numeric: tabular-nums; }
.facts th { font-weight: 400; opacity: 0.7; }
.facts td:first-child { padding-left: 0; text-align: left; font-weight: 400; opacity: 0.7; }
.legend .key { display: inline-flex; align-items: center; gap: 6px; margin: 0 14px 4px 0; font-size: 0.87rem; }
.legend i { width: 11px; height: 11px; border-radius: 3px; }
.legend .ramp { display: inline-flex; align-items: center; gap: 8px; font-size: 0.87rem; margin: 0 14px 4px 0; }
.legend .ramp i { width: 130px; height: 9px; border-radius: 3px; }
.legend b { font-weight: 500; opacity: 0.6; font-variant-numeric: tabular-nums; }
</style>
"""

warm.at_once()
st.set_page_config(page_title="Boundary Atlas", layout="wide", initial_sidebar_state=216)
st.html(LOOK)
login.required()
page = st.navigation(
    {
        "Start": [
            st.Page("views/home.py", title="Home", default=True),
            st.Page("views/gallery.py", title="Gallery", url_path="gallery"),
        ],
        "Yours": [
            st.Page("views/model.py", title="Model", url_path="model"),
            st.Page("views/images.py", title="Images", url_path="images"),
        ],
        "Lenses": [st.Page(f"views/{view}.py", title=title, url_path=view) for view, title in LENSES.items()],
    },
    expanded=True,
)
with st.sidebar, st.container(key="brand"):
    st.markdown("**Boundary Atlas**  \n:small[where it changes its mind]")
if st.session_state.get("view", page.url_path) != page.url_path:  # jobs of the page that was left
    jobs.shared().leave(session.user(), keep=("series",))
st.session_state["view"] = page.url_path
links.open_link(page.url_path)
frame()
if st.session_state.get("refused"):
    st.error(escape_markdown(st.session_state["refused"]))
missing_uploads.ask_for_file()
with session.in_words(links.start_over):
    page.run()
garbage.spare_imports()
warm.later()
if "goto" in st.session_state:  # at the end: the page may still be sending its elements to the browser
    st.switch_page(f"views/{st.session_state.pop('goto')}.py")
address.answered()
