"""The Python face: runs of workflows from a script or a notebook, each supervised in a process of its own."""
