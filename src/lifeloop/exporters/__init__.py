"""Where a version of the data goes: one writer a format."""
