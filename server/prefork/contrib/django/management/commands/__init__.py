"""Each module is a command of its name."""
