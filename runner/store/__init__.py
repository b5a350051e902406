"""What a run leaves on disk and how it is reached: record, dead letters, control socket, discovery."""
