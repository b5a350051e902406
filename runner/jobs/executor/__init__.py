"""How one worker runs one attempt of a job, from the first service to the last process."""
