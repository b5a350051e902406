"""`--context NAME=VALUE`: what is read, and what is refused with a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.jobs.contexts.given import read_given, wrong_option


def test_values_below_an_event_are_json_and_others_are_texts(tmp_path: Path) -> None:
    found = read_given(
        {
            "github.run_number": "5",
            "github.event.pull_request.draft": "false",
            "github.event.pull_request.title": "fix: all",
            "vars.REGION": "true",
        },
        tmp_path,
    )

    assert () == found.diagnostics
    assert "5" == found.values["github"]["run_number"]
    assert {"pull_request": {"draft": False, "title": "fix: all"}} == found.values["github"]["event"]
    assert {"REGION": "true"} == found.values["vars"]


def test_an_event_is_read_from_a_file_and_what_comes_later_is_put_into_it(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps({"action": "opened", "number": 5}))

    found = read_given({"github.event": "@event.json", "github.event.action": "closed"}, tmp_path)

    assert {"action": "closed", "number": 5} == found.values["github"]["event"]


def test_a_whole_context_is_read_from_a_file_but_for_its_secret(tmp_path: Path) -> None:
    (tmp_path / "github.json").write_text(json.dumps({"ref": "refs/heads/a", "token": "s3cret", "odd": 1}))

    assert {"ref": "refs/heads/a"} == read_given({"github": "@github.json"}, tmp_path).values["github"]


@pytest.mark.parametrize(
    ("name", "text", "message", "help_"),
    [
        ("github.evnt_name", "push", "there is no 'github.evnt_name'", "did you mean 'event_name'?"),
        ("github.token", "x", "'github.token' can't be set", "`secrets: GITHUB_TOKEN`"),
        ("github.ref.name", "x", "'github.ref' is a text", "only github.event"),
        ("github..ref", "x", "'github..ref' is not a name", "single dots"),
        ("github.event", "5", "expected a JSON object", "github.event=@FILE"),
        ("github.event", "@none.json", "'none.json' can't be read: No such file", ""),
        ("github.event", "@list.json", "'list.json' holds no JSON object", ""),
        ("github.event", "@bad.json", "'bad.json' is not JSON", ""),
    ],
)
def test_what_can_not_be_used_is_refused(
    name: str, text: str, message: str, help_: str, tmp_path: Path
) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bad.json").write_text("{")

    (found,) = read_given({name: text}, tmp_path).diagnostics

    assert message in found.message
    assert help_ in (found.help or "")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("github.ref", "expected NAME=VALUE"),
        ("=x", "expected NAME=VALUE"),
        ("gihtub.ref=x", "did you mean 'github'?"),
        ("inputs.a=x", "--param NAME=VALUE"),
        ("secrets.a=x", "no place on a command line"),
    ],
)
def test_an_option_of_the_wrong_form_says_what_is_right(setting: str, message: str) -> None:
    assert message in (wrong_option(setting) or "")


def test_an_option_of_the_right_form_is_fine() -> None:
    assert None is wrong_option("github.event=@x.json")
