"""How queues and workers exist: the pool of processes, `leased`, `joinable`, `inline`, and a worker's main."""
