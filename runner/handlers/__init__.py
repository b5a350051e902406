"""The kinds of handlers, and how one is bound to its arguments."""
