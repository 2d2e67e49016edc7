"""Personal data and secrets: what they look like, one idea each, and their masking."""
