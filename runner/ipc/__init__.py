"""What processes say to each other: frames, streams, channel, status page; and `shm` for big items."""
