"""Everything in one process: a worker is a fiber, and one at a time has its turn."""
