"""Big items in shared memory: arenas, their allocator, and the handles that travel in a frame."""
