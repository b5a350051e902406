"""How the output of jobs is shown while they run: streamed, grouped, as JSON lines."""
