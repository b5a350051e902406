"""What the user wrote under `jobs`, as frozen facts: jobs and their legs, and the commands that they run."""
