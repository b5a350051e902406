"""YAML with places: reading, traps, includes, overrides."""
