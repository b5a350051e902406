"""Tests in workflow files: what is run for one, what came of it, and what is written into the file."""
