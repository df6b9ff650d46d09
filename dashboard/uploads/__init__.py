"""Uploaded files of sessions, and their limits."""
