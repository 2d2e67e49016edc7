"""The `lifeloop` command: one file a subcommand. The only place that prints."""
