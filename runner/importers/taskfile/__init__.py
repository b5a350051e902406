"""Taskfiles of go-task, version 3: tasks become jobs that run where they are named or needed."""
