"""What is for watching runs: commands, and options of those that run something."""
