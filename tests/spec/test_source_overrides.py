"""`--set` and `--param`: what changes, what is left alone, and problems that point into the argument."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.diagnostics import Span
from runner.spec.source.overrides import override, parse_params
from runner.spec.source.reader import SourceDocument, read_text

FILE = """\
name: baozi
queues:
  steamer: {maxsize: 10}
stages:
  chef: &chef {run: "baozi:steam", names: [neo, alex]}
  sous: *chef
  eater:
"""


def with_settings(*settings: str) -> SourceDocument:
    source, diagnostics = override(read_text(FILE, "w.yaml"), settings)
    assert [] == diagnostics
    return source


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("queues.steamer.maxsize=5", ("queues", "steamer", "maxsize"), 5),
        ("name=a=b", ("name",), "a=b"),
        ("name='5'", ("name",), "5"),
        ("name=", ("name",), None),
        ("name=yes", ("name",), "yes"),
        ("stages.chef.names=[a, b]", ("stages", "chef", "names"), ["a", "b"]),
        ("stages.chef.names.1=egon", ("stages", "chef", "names"), ["neo", "egon"]),
        ("queues.plate.maxsize=1", ("queues", "plate"), {"maxsize": 1}),
        ("stages.eater.run=x:y", ("stages", "eater"), {"run": "x:y"}),
        ("limits.a.b={c: 1}", ("limits",), {"a": {"b": {"c": 1}}}),
        (r"env.A\.B=1", ("env",), {"A.B": 1}),
        ("包子.数=3", ("包子", "数"), 3),
    ],
)
def test_a_setting_puts_its_value_in_place(setting: str, path: tuple[str, ...], value: object) -> None:
    data: Any = with_settings(setting).data
    for step in path:
        data = data[step]

    assert value == data


def test_what_was_read_is_not_changed() -> None:
    source = read_text(FILE, "w.yaml")

    override(source, ["stages.chef.names.0=x", "name=y"])

    assert read_text(FILE, "w.yaml").data == source.data


def test_setting_one_of_two_aliases_leaves_the_other() -> None:
    stages = with_settings("stages.sous.names.0=x").data["stages"]

    assert (["neo", "alex"], ["x", "alex"]) == (stages["chef"]["names"], stages["sous"]["names"])


def test_the_later_of_two_settings_wins() -> None:
    assert (
        2
        == with_settings("queues.steamer.maxsize=1", "queues.steamer.maxsize=2").data["queues"]["steamer"][
            "maxsize"
        ]
    )


def test_a_problem_about_a_set_value_points_into_the_argument() -> None:
    source = with_settings("queues.steamer.maxsize=five", "limits.timeout=never")

    value = source.locate(("queues", "steamer", "maxsize"))
    key = source.locate(("limits", "timeout"), "key")
    made = source.locate(("limits",))
    kept = source.locate(("queues", "steamer"))

    assert ("--set", Span(1, 24, 4), "queues.steamer.maxsize=five") == (value.file, value.span, value.snippet)
    assert ("--set", Span(1, 8, 7)) == (key.file, key.span)
    assert ("--set", Span(1, 1, 6)) == (made.file, made.span)
    assert ("w.yaml", Span(3, 3, 7)) == (kept.file, kept.span)


def test_traps_in_a_value_are_kept_with_the_source() -> None:
    (trap,) = with_settings("env={a: 1, a: 2}").traps

    assert ("duplicate-key", "--set", 12) == (trap.code, trap.file, trap.span.column)


@pytest.mark.parametrize(
    ("setting", "code", "span"),
    [
        ("name", "override-syntax", Span(1, 1, 4)),
        ("=5", "override-syntax", Span(1, 1, 2)),
        ("a..b=5", "override-path", Span(1, 1, 4)),
        (".a=5", "override-path", Span(1, 1, 2)),
        ("name.first=neo", "override-path", Span(1, 6, 5)),
        ("stages.chef.names.2=x", "override-path", Span(1, 19, 1)),
        ("stages.chef.names.last=x", "override-path", Span(1, 19, 4)),
        ("a." * 150 + "a=1", "override-path", Span(1, 201, 1)),
        ("name=[a", "yaml-syntax", Span(1, 6, 1)),
        ("name=a\0b", "control-character", Span(1, 7, 1)),
    ],
)
def test_a_bad_setting_is_a_problem_and_changes_nothing(setting: str, code: str, span: Span) -> None:
    before = read_text(FILE, "w.yaml")

    after, (diagnostic,) = override(before, [setting])

    assert (code, "--set", span) == (diagnostic.code, diagnostic.file, diagnostic.span)
    assert before == after


@given(st.lists(st.text(alphabet="ab.=\\[]{}0: stagename"), max_size=4))
def test_any_settings_give_a_source_or_problems(settings: list[str]) -> None:
    _, diagnostics = override(read_text(FILE, "w.yaml"), settings)

    assert {"--set"} >= {diagnostic.file for diagnostic in diagnostics}


def test_params_are_text_by_name() -> None:
    params, diagnostics = parse_params(["buns=5", "who=a=b", "empty=", "buns=6"])

    assert ({"buns": "6", "who": "a=b", "empty": ""}, []) == (params, diagnostics)


@pytest.mark.parametrize("setting", ["buns", "=5", ""])
def test_a_param_without_a_name_or_a_value_is_a_problem(setting: str) -> None:
    params, (diagnostic,) = parse_params([setting])

    assert ({}, "param-syntax", "--param") == (params, diagnostic.code, diagnostic.file)
