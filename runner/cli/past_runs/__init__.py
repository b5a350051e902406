"""The commands that look at runs of the past, from their records: list, show, logs, compare, run again."""
