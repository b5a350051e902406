"""The contexts of GitHub's expressions that are known before a run: `github`, `vars`, `runner`."""
