"""Watching a run: what is known of it at any moment, and how it is reached from other processes."""
