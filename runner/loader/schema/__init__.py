"""The JSON Schema of a workflow file, what is told of its violations, and the reference page."""
