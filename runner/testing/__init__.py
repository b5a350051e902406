"""For tests of mprun itself: ends and stops at named points of a worker's life."""
