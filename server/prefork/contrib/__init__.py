"""Ways into prefork from the tools of frameworks: Flask's and Django's commands, pserve, scripts."""
