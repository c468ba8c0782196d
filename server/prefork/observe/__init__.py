"""What the server says about itself: log lines and the access log. Imports only `prefork.errors`."""
