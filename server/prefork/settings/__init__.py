"""Settings: the one table of options (`model`), loading them (`load`), comparing them (`diff`)."""
