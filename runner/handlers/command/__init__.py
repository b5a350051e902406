"""The kind `command`: a program, or a line for the shell, as a handler."""
