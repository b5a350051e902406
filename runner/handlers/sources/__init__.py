"""Kinds of handlers that make items of what is there: files, tables, pages, connections."""
