"""Workflows of GitHub Actions: jobs, their steps, and the actions that the steps use."""
