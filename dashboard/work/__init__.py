"""Background work of the pages: jobs, imports, garbage collection, and unforeseen errors."""
