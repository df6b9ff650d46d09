"""Where the decision changes: signed margins, and the nearest points at which they are zero."""
