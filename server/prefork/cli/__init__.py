"""The command line. `main` is what `prefork` runs, and the only place that ends the process."""

from prefork.cli.entry import main

__all__ = ["main"]
