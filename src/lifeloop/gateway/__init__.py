"""The serving process: an OpenAI-compatible API before the released candidate and its fallbacks."""
