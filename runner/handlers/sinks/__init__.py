"""Kinds of handlers that take items and leave something of them: files, tables, requests."""
