"""The lifecycle: which stage feeds which; run, resume, next cycle, and what it all came to."""
