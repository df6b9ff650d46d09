"""Images, from files, folders, archives, arrays and data sets."""
