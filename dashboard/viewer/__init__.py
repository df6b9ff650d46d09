"""The Streamlit components: plane viewer, map, thumbnails and copy button; and the titles of the views."""
