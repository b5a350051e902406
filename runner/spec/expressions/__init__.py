"""The language of `if`: syntax tree, evaluation, values."""
