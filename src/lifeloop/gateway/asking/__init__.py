"""How candidates are asked so that somebody answers: time, retries, breakers, hedges, fallbacks, streams."""
