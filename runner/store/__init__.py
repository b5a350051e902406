"""What a run leaves on disk and how it is reached: its folder and lock, dead letters, control socket, discovery."""
