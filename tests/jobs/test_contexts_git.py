"""What git knows of a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner.jobs.contexts.git import ask_git, read_answer
from runner.jobs.contexts.github import GitFacts

ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=ENVIRON, check=True, capture_output=True)


def test_a_folder_without_a_repository_has_nothing_to_say(tmp_path: Path) -> None:
    assert GitFacts() == ask_git(tmp_path, {**ENVIRON, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})


def test_where_there_is_no_git_nothing_is_known(tmp_path: Path) -> None:
    assert "" == ask_git(tmp_path, {"PATH": "/nowhere"}).sha


@pytest.mark.slow
def test_branch_commit_remote_and_tag_are_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "feat/x")
    git(tmp_path, "remote", "add", "origin", "https://a:b@host/acme/tool.git")
    before = ask_git(tmp_path, ENVIRON)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    git(tmp_path, "tag", "v1")
    on_branch = ask_git(tmp_path, ENVIRON)
    git(tmp_path, "checkout", "-q", "--detach")
    detached = ask_git(tmp_path, ENVIRON)

    assert ("", "refs/heads/feat/x") == (before.sha, before.branch)
    assert (40, "refs/heads/feat/x", "v1") == (len(on_branch.sha), on_branch.branch, on_branch.tag)
    assert ("", "v1", "https://a:b@host/acme/tool.git") == (detached.branch, detached.tag, detached.remote)


def test_half_an_answer_is_none() -> None:
    assert GitFacts() == read_answer(b"abc\0refs/heads/a\0")
