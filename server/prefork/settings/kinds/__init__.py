"""Kinds of values: how each is checked, converted, written back, and described in the JSON schema."""
