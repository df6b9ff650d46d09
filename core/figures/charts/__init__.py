"""From a result to its chart, one family a folder."""
