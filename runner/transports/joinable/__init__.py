"""The joinable transport: the standard library's JoinableQueue, what is counted at it, and the processes round it."""
