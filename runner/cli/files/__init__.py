"""Commands on workflow files beside running them: what one comes to, and its tests."""
