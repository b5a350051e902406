"""What a person or a CI system reads: the log, the live view, output of jobs, summaries, graphs, diagnostics."""
