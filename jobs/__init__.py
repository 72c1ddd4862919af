"""One nightly step, one file; `cli.py` is the `nightmill` command."""
