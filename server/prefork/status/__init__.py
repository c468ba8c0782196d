"""The status process: tells people and monitors how the server is, whatever its workers are doing."""
