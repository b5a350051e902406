"""The model of a file and of a plan."""
