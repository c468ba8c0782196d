"""The zygote: imports the application once, inspects itself, freezes, and forks workers on command."""
