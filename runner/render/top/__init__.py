"""`mprun top` and the live view: a run on a terminal, as pure functions of what is known of it."""
