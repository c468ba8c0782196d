"""The WSGI side of a request: environ, the call of the application, its response. PEP 3333."""
