"""Where rows come from: one reader a format, each giving a table of raw rows."""
