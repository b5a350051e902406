"""Pipelines of GitLab CI: templates and references filled in, stages as needs, scripts as steps."""
