"""Handler kinds: what a stage may run. `base` says what a kind is; each other module declares one or two."""
