"""Transports: how queues and workers exist. `base` is the interface; each other module is one matched set."""
