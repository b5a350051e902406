"""What a handler is, read from its source: nothing of the user's is imported."""
