"""The page of a run: HTML and SVG without script, of what is known of the run."""
