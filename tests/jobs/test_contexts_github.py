"""`github.*`: from the command line, else from variables, else from git, each property by itself."""

from __future__ import annotations

from typing import Any

import pytest

from runner.jobs.contexts.github import GitFacts, build_github, repository_of

GIT = GitFacts("c0ffee", "refs/heads/next", "", "git@github.com:acme/tool.git", "Neo", "/src")


def build(
    given: dict[str, Any] | None = None, environ: dict[str, str] | None = None, git: GitFacts = GIT
) -> Any:
    return build_github(given or {}, environ or {}, lambda: git, {"workflow": "ci", "workspace": "/here"})


def test_what_is_given_goes_before_variables_and_these_before_git() -> None:
    found = build({"ref": "refs/heads/given"}, {"GITHUB_REF": "refs/heads/variable", "GITHUB_SHA": "5ha"})

    assert ("refs/heads/given", "5ha", "acme/tool") == tuple(
        found.values[name] for name in ("ref", "sha", "repository")
    )
    assert ["--context", "GITHUB_SHA", "git"] == [
        found.sources[name] for name in ("ref", "sha", "repository")
    ]


def test_what_follows_from_a_ref_that_is_given_goes_before_the_variables_of_another() -> None:
    found = build({"ref": "refs/tags/v1.2"}, {"GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"})

    assert ("v1.2", "tag") == (found.values["ref_name"], found.values["ref_type"])
    assert "github.ref" == found.sources["ref_name"]


@pytest.mark.parametrize(
    ("ref", "name", "kind"),
    [
        ("refs/heads/feat/x", "feat/x", "branch"),
        ("refs/tags/v1", "v1", "tag"),
        ("refs/pull/5/merge", "5/merge", "branch"),
    ],
)
def test_the_name_of_a_ref_is_what_it_is_called_for_short(ref: str, name: str, kind: str) -> None:
    found = build({"ref": ref}).values

    assert (name, kind) == (found["ref_name"], found["ref_type"])


def test_a_tag_counts_where_no_branch_is_checked_out() -> None:
    assert "refs/tags/v2" == build(git=GitFacts("c0ffee", "", "v2")).values["ref"]
    assert "refs/heads/b" == build(git=GitFacts("c0ffee", "refs/heads/b", "v2")).values["ref"]


def test_git_is_not_asked_where_the_variables_say_all() -> None:
    def never() -> GitFacts:
        raise AssertionError

    environ = {
        "GITHUB_REF": "refs/heads/a",
        "GITHUB_SHA": "1",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_ACTOR": "c",
    }
    assert "a" == build_github({}, environ, never, {}).values["repository_owner"]


def test_what_nobody_says_is_not_there() -> None:
    assert {"workflow", "workspace"} == build(git=GitFacts()).values.keys()


def test_what_is_given_of_an_event_is_put_into_the_one_that_came_in() -> None:
    event = {"pull_request": {"draft": True, "number": 5}}
    given = {"event": {"pull_request": {"draft": False}}}

    found = build_github(given, {}, GitFacts, {}, (event, "GITHUB_EVENT_PATH"))

    assert {"pull_request": {"draft": False, "number": 5}} == found.values["event"]


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/acme/tool.git", ("github.com", "acme/tool")),
        ("https://neo:s3cret@github.com/acme/tool", ("github.com", "acme/tool")),
        ("https://x-token:a@b@host.example:8443/acme/tool/", ("host.example", "acme/tool")),
        ("git@github.com:acme/tool.git", ("github.com", "acme/tool")),
        ("ssh://git@gitlab.com:22/group/sub/tool.git", ("gitlab.com", "group/sub/tool")),
        ("/srv/git/tool.git", ("", "")),
        ("../tool", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_repository_is_read_from_the_url_of_its_remote_without_what_is_secret(
    remote: str, expected: tuple[str, str]
) -> None:
    assert expected == repository_of(remote)
