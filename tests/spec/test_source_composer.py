"""Events to data: YAML's traps are told, and what would cost without bound is refused before it does."""

from __future__ import annotations

import tracemalloc

import pytest
import yaml as library

from runner.errors import SpecError
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.positions import Text
from runner.spec.source.reader import read_text, read_value


def traps(text: str) -> list[tuple[str, int, int, int]]:
    return [(p.code, p.span.line, p.span.column, p.span.width) for p in read_text(text, "w.yaml").traps]


def refusal(text: str) -> LocatedDiagnostic:
    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")
    return caught.value.diagnostics[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\n", []),
        ("a: 1\nb: {c: 1}\na: 2\n", [("duplicate-key", 3, 1, 1)]),
        ("on: 1\n", [("boolean-key", 1, 1, 2)]),
        (
            "a: {yes: 1, No: 2, OFF: 3}\n",
            [("boolean-key", 1, 5, 3), ("boolean-key", 1, 13, 2), ("boolean-key", 1, 20, 3)],
        ),
        ("true: 1\n", [("boolean-key", 1, 1, 4)]),
        ("a: {attempts: {on: [75]}, retry: {on: OSError}, restart: {on: always}}\n", []),
        ("x-retry: &r {attempts: 2, on: OSError}\nretry: *r\n", []),
        ("'on': 1\n\"yes\": 2\nonly: 3\n", []),
        ("~: 1\nnull: 2\n", [("null-key", 1, 1, 1), ("null-key", 2, 1, 4)]),
        ("a: 1\n? \n: 2\n", [("null-key", 2, 2, 1)]),
        ("1: a\n2.50: b\n", [("number-key", 1, 1, 1), ("number-key", 2, 1, 4)]),
        ("[a]: 1\n{b: c}: 2\nd: 3", [("collection-key", 1, 1, 1), ("collection-key", 2, 1, 1)]),
        ("a: !foo 1\n", [("yaml-tag", 1, 4, 4)]),
        ("a: !!python/object/apply:os.system [x]\n", [("yaml-tag", 1, 4, 31)]),
        ("a: !!str 1\nb: !!int 2\nc: !!map {}\nd: !!seq []\nh: ! [x]\nf: !!float 1\n", []),
        ("a: ! cancelled()\n", [("yaml-tag", 1, 4, 1)]),
        ("a: ! 3\n", [("yaml-tag", 1, 4, 1)]),
        ("!!str : x\n", [("null-key", 1, 1, 5)]),
        ("a: &b:c d\n", [("anchor-name", 1, 4, 3)]),
        ("a: &b [c]\nd: [&e f, &g {h: 1}]\n", []),
        ("a: [ls, ?.txt]\n", [("question-mark", 1, 9, 1)]),
        ("a: {?b: c}\n", [("question-mark", 1, 5, 1)]),
        ("a: {? b : c}\n? d\n: e\n", []),
        ("a: !!int x\nb: !!seq {}\n", [("yaml-tag", 1, 4, 5), ("yaml-tag", 2, 4, 5)]),
        ("!!int 1: x\n", [("yaml-tag", 1, 1, 5)]),
        ("a: 1\n---\nb: [\n", [("many-documents", 2, 1, 3)]),
        ("---\na: 1\n...\n", []),
        ('a: "x\\0y"\n', [("control-character", 1, 4, 6)]),
        ("a: {<<: 3}\n", [("merge-key", 1, 9, 1)]),
        ("a: &a {}\nb: {<<: *a, <<: *a}\n", [("duplicate-key", 2, 13, 2)]),
    ],
)
def test_a_trap_is_told_and_reading_goes_on(text: str, expected: list[tuple[str, int, int, int]]) -> None:
    assert expected == traps(text)


def test_a_duplicate_key_names_the_line_of_the_first_and_the_first_is_kept() -> None:
    source = read_text("a:\n  x: 1\n  y: 2\n  x: 3\n", "w.yaml")

    (trap,) = source.traps
    assert "'x' is given twice; first on line 2" == trap.message
    assert {"a": {"x": 1, "y": 2}} == source.data


def test_keys_that_are_no_text_are_kept_as_they_were_typed() -> None:
    source = read_text("on: 1\n3.10: 2\n[a]: 3\n", "w.yaml")

    assert {"on": 1, "3.10": 2} == source.data


def test_tags_of_the_core_schema_are_obeyed() -> None:
    source = read_text("a: !!str 3.10\nb: !!float 3\nc: !!int '3'\n", "w.yaml")

    assert {"a": "3.10", "b": 3.0, "c": 3} == source.data
    assert "float" == type(source.data["b"]).__name__


def test_a_tag_with_nothing_behind_it_is_the_text_that_it_was_meant_to_be() -> None:
    source = read_text("if: !cancelled()\nempty: !!str\nother: !foo x\n", "w.yaml")

    assert {"if": "!cancelled()", "empty": "", "other": "x"} == source.data
    assert ["yaml-tag", "yaml-tag"] == [trap.code for trap in source.traps]


def test_aliases_and_merge_keys_work() -> None:
    source = read_text(
        "base: &base {run: a, count: 1}\nmore: &more {env: x, run: b}\n"
        "one: {<<: *base, count: 2}\ntwo: {<<: [*base, *more]}\nthree: [*base]\nfour: &k key\n*k : 1\n",
        "w.yaml",
    )

    assert () == source.traps
    assert {"count": 2, "run": "a"} == source.data["one"]
    assert {"run": "a", "count": 1, "env": "x"} == source.data["two"]
    assert [{"run": "a", "count": 1}] == source.data["three"]
    assert 1 == source.data["key"]


def test_merged_keys_are_where_they_are_written() -> None:
    source = read_text("base: &base\n  run: a\none:\n  <<: *base\n  count: 2\n", "w.yaml")

    merged, own = source.locate(("one", "run")), source.locate(("one", "count"))

    assert ((2, 8), (5, 10)) == ((merged.span.line, merged.span.column), (own.span.line, own.span.column))


def test_a_billion_laughs_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]

    tracemalloc.start()
    diagnostic = refusal("\n".join(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ("alias-bomb", 6) == (diagnostic.code, diagnostic.span.line)
    assert peak < 1_000_000


def test_merge_keys_can_not_be_used_as_a_bomb_either() -> None:
    wide = "a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(1000)) + "}\n"
    many = "".join(f"b{n}: {{<<: *a0}}\n" for n in range(200))

    assert "alias-bomb" == refusal(wide + many).code


@pytest.mark.slow
def test_a_large_file_without_aliases_is_no_bomb() -> None:
    source = read_text("a:\n" + "".join(f"- [{n}, x]\n" for n in range(60_000)), "w.yaml")

    assert 60_000 == len(source.data["a"])


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: {c: *a}}", "a: &a\n  <<: *a\n"])
def test_an_alias_inside_its_own_value_is_refused(text: str) -> None:
    assert "recursive-alias" == refusal(text).code


def test_an_alias_to_nothing_suggests_the_nearest_anchor() -> None:
    diagnostic = refusal("a: &steamer 1\nb: *steemer\n")

    assert ("unknown-alias", "did you mean 'steamer'?") == (diagnostic.code, diagnostic.help)


@pytest.mark.slow
@pytest.mark.parametrize("in_c", [True, False], ids=["c", "python"])
@pytest.mark.parametrize("levels", [101, 1500], ids=str)
@pytest.mark.parametrize(
    ("opening", "column"),
    [
        ("[", 101),
        ("[[", 101),
        ("{", 101),
        ("{a: ", 401),
        ("[{a: ", 251),
        ("- ", 201),
        ("? ", 201),
        ("- ? ", 201),
    ],
)
def test_deep_nesting_is_refused_where_it_becomes_too_deep(
    opening: str, column: int, levels: int, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libyaml 0.2.6 stops at 1,000 levels by itself, and looks so far ahead that it may be the first to see them."""
    if not in_c:
        monkeypatch.delattr(library, "CSafeLoader", raising=False)

    diagnostic = refusal(opening * levels)

    assert ("too-deep", 1, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


@pytest.mark.parametrize(
    ("before", "line", "column"),
    [("a: ", 1, 103), ("a: !foo 1\nb: ", 2, 103), ("- - - ", 1, 104), ("---\na:\n  b: ", 3, 104)],
)
def test_levels_in_brackets_are_counted_with_those_around_them(before: str, line: int, column: int) -> None:
    diagnostic = refusal(before + "[" * 200_000)

    assert ("too-deep", line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_traps_above_the_nesting_are_told_once() -> None:
    with pytest.raises(SpecError) as caught:
        read_text("on: !foo 1\nb: " + "[" * 2000, "w.yaml")

    assert ["boolean-key", "yaml-tag", "too-deep"] == [
        diagnostic.code for diagnostic in caught.value.diagnostics
    ]


def test_deep_lines_are_refused_without_recursion() -> None:
    diagnostic = refusal("".join(" " * n + "a:\n" for n in range(1500)))

    assert ("too-deep", 101, 101) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_a_value_of_its_own_may_not_nest_deeper_than_a_file() -> None:
    """As `--set` and `--param` read it, behind what names the key."""
    written = "a.b=" + "[" * 2000
    with pytest.raises(SpecError) as caught:
        read_value(Text("--set", written), 4)

    (diagnostic,) = caught.value.diagnostics
    assert ("too-deep", 1, 105) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_nesting_by_aliases_counts_too() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))

    diagnostic = refusal(text)

    assert ("too-deep", 100) == (diagnostic.code, diagnostic.span.line)


def test_a_hundred_levels_are_enough_for_everybody() -> None:
    assert read_text("a: " + "[" * 99 + "]" * 99, "w.yaml").data


@pytest.mark.slow
def test_more_values_than_a_workflow_can_have_are_refused() -> None:
    assert "too-large" == refusal("a: [" + "1," * 300_001 + "]").code


def test_what_a_merge_brings_in_comes_before_the_own_entries_which_win() -> None:
    text = "x: &x {b: 1, a: 1}\ny: &y {c: 1, a: 2}\nz:\n  d: 3\n  <<: [*x, *y]\n  a: 3\n"

    merged = read_text(text, "w.yaml").data["z"]

    assert [("b", 1), ("a", 3), ("c", 1), ("d", 3)] == list(merged.items())
