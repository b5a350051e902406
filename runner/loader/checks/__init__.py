"""What no schema can say: whether the parts of a workflow fit together. Pure functions to diagnostics."""
