"""The loop that runs a plan, the pure policies that it asks, and the scheduler of jobs."""
