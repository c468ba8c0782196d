"""The HTTP/1.1 codec: bytes in, requests out; response heads.

Sans-IO: no socket, clock, file, logging or process in here, so everything is a pure function of the bytes it was
given. Runs in: worker. The rules and their sources are in `docs/http.md`.
"""
