"""Addresses and listening sockets. Imports only `prefork.errors`."""
