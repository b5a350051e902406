"""Processes: start and end, signals, limits, control groups; and `resources`, which workers are given."""
