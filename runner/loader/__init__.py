"""From a file to a checked WorkflowSpec, or to all its problems."""
