"""Tests in a workflow file: `model` is what they say, `faults` what goes wrong in them."""
