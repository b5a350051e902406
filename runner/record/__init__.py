"""The record of a run: kept while it goes on, by a process of its own, and read by whoever asks what has been."""
