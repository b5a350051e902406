"""What workers are given beyond queues: locks, pipes, shared objects."""
