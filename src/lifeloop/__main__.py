"""`python -m lifeloop` is the `lifeloop` command."""

from lifeloop.cli.main import main

main()
