"""The commands that are about jobs."""
