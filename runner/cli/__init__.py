"""From argv to calls to exit codes: the command `mprun`, and the one place that prints to stdout and stderr."""

CLOSE_TIMEOUT = "mprun.close_timeout"
"""In what a command leaves of itself: seconds that threads may keep this process once its work is done."""
COMPLETE_VARIABLE = "_MPRUN_COMPLETE"
"""In the environment of a shell that wants to have a command line completed."""
