"""What happens to a site when something goes wrong: prefork and its peers, measured side by side."""
