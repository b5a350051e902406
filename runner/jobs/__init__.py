"""Jobs: what a CI system calls by that name. Decided by a pure DAG, run by a pool of workers, shown as one screen."""
