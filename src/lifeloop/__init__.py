"""lifeloop: from a written brief to a monitored model in production, and round again."""

__version__ = "0.1.0"
