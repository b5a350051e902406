"""What does not fit the schema, as problems with a place, a code and a way out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.handlers.registry import built_in_kinds
from runner.loader.schema.validate import check_shape, check_value, schema_for
from runner.loader.schema.workflow import workflow_schema
from runner.spec.source.reader import read_text

Row = tuple[int, int, str, str, str | None]

STAGE = "name: w\nstages:\n  a: {run: 'm:f', %s}\n"

# What stands in the braces of stage `a`, then column, code, message and help of the one problem.
STAGE_RULES: dict[str, tuple[int, str, str, str | None]] = {
    "cuont: 2": (19, "unknown-key", "stage 'a' has no key 'cuont'", "did you mean 'count'?"),
    "count: ten": (
        26,
        "wrong-type",
        "'count' of stage 'a': expected an integer from 1 to 10000, got the text 'ten'",
        None,
    ),
    "count: '10'": (
        26,
        "wrong-type",
        "'count' of stage 'a': expected an integer from 1 to 10000, got the text '10'",
        "write it without quotes: 10",
    ),
    "count: 010": (
        26,
        "wrong-type",
        "'count' of stage 'a': expected an integer from 1 to 10000, got the text '010'",
        None,
    ),
    "count: 0": (
        26,
        "out-of-range",
        "'count' of stage 'a': expected an integer from 1 to 10000, got the number 0",
        None,
    ),
    "count: 2, names: [x]": (
        19,
        "conflicting-keys",
        "stage 'a' has both 'count' and 'names'",
        "keep one; 'names' says how many, too",
    ),
    "names: [x, y, x]": (
        33,
        "duplicate-entry",
        "'names' of stage 'a' has the text 'x' twice",
        "each must be there once",
    ),
    "names: [x, 3]": (
        30,
        "wrong-type",
        "entry 2 of 'names' of stage 'a': expected a name with a letter or digit in it, got the number 3",
        'quote it if text is meant: "3"',
    ),
    "daemon: yes": (
        27,
        "wrong-type",
        "'daemon' of stage 'a': expected true or false, got the text 'yes'",
        "write true",
    ),
    "on_error: skp": (
        29,
        "wrong-format",
        "'on_error' of stage 'a': expected one of fail, skip and dead_letter, or a mapping such as {to: malformed}, "
        "got the text 'skp'",
        "did you mean 'skip'?",
    ),
    "nice: 20": (
        25,
        "out-of-range",
        "'nice' of stage 'a': expected an integer from -20 to 19, got the number 20",
        None,
    ),
    "env: {A: [1]}": (
        25,
        "wrong-type",
        "'env.A' of stage 'a': expected text without NUL characters, a number, or true or false, got a list",
        None,
    ),
    "needs: []": None,  # type: ignore[dict-item]  # nothing wrong: it needs nobody
}


def problems_of(text: str) -> list[Row]:
    source = read_text(text, "w.yaml")
    found = source.place_all(check_shape(schema_for(source.data), source.data, source.scalar_text))
    return [(p.span.line, p.span.column, p.code, p.message, p.help) for p in found]


@pytest.mark.parametrize("inside", STAGE_RULES)
def test_each_rule_of_a_stage(inside: str) -> None:
    rule = STAGE_RULES[inside]
    expected = [] if rule is None else [(3, *rule)]

    assert expected == problems_of(STAGE % inside)


FILES: dict[str, tuple[str, list[tuple[int, int, str, str | None]]]] = {
    "a key of the file that is not there": (
        "stages: {a: {run: 'm:f'}}\n",
        [(1, 1, "missing-key", "'name': the workflow's name, shown wherever the run is")],
    ),
    "a number that was meant as text": (
        "name: w\nversion: 3.10\nstages: {a: {run: 'm:f'}}\n",
        [(2, 10, "wrong-type", 'quote it if text is meant: "3.10"; without quotes, 3.10 is the number 3.1')],
    ),
    "a section that is not a mapping": (
        "name: w\nqueues: [steamer]\nstages: {a: {run: 'm:f'}}\n",
        [(2, 1, "wrong-type", None)],
    ),
    "a param that is only a value": (
        "name: w\nparams: {n: 3}\nstages: {a: {run: 'm:f'}}\n",
        [(2, 13, "wrong-type", None)],
    ),
    "a time that is not a number": (
        "name: w\nlimits: {timeout: .nan}\nstages: {a: {run: 'm:f'}}\n",
        [
            (
                2,
                19,
                "out-of-range",
                'quote it if text is meant: ".nan"; without quotes, .nan is the number NaN',
            )
        ],
    ),
    "no stage at all": ("name: w\nstages: {}\n", [(2, 1, "out-of-range", None)]),
    "a stage without run": (
        "name: w\nstages: {a: {count: 2}}\n",
        [(2, 10, "missing-key", "'run': what its workers run")],
    ),
    "a kind that is nearly right": (
        "name: w\nstages: {a: {run: {lnes: {path: x}}}}\n",
        [(2, 20, "unknown-kind", "did you mean 'lines'?")],
    ),
    "an option of a kind that is nearly right": (
        "name: w\nstages: {a: {run: {lines: {path: x, encodng: y}}}}\n",
        [(2, 37, "unknown-key", "did you mean 'encoding'?")],
    ),
    "a name that does not show": (
        'name: w\nstages: {" ": {run: "m:f"}}\n',
        [
            (
                2,
                10,
                "bad-name",
                "any script; at least one letter or digit, no control characters, no space at either end",
            )
        ],
    ),
    "a param without type and default": (
        "name: w\nparams: {p: {description: x}}\nstages: {a: {run: 'm:f'}}\n",
        [(2, 10, "missing-key", "add a type, such as type: integer, or a default that shows it")],
    ),
    "a duration with a space": (
        "name: w\nlimits: {timeout: 5 minutes}\nstages: {a: {run: 'm:f'}}\n",
        [(2, 19, "wrong-format", None)],
    ),
    "a bound of no queue": (
        "name: w\ndefaults: {queue: {maxsize: boundless}}\nstages: {a: {run: 'm:f'}}\n",
        [(2, 29, "wrong-format", None)],
    ),
    "more than a semaphore counts": (
        "name: w\nqueues: {q: {maxsize: 99999999999}}\nstages: {a: {run: 'm:f'}}\n",
        [(2, 23, "out-of-range", None)],
    ),
    "notes of one's own": ("name: w\nx-notes: [1]\nstages: {a: {run: 'm:f'}}\n", []),
}


@pytest.mark.parametrize(("text", "expected"), FILES.values(), ids=FILES)
def test_each_rule_of_a_file(text: str, expected: list[tuple[int, int, str, str | None]]) -> None:
    assert expected == [(line, column, code, help_) for line, column, code, _, help_ in problems_of(text)]


def test_a_value_is_checked_by_itself() -> None:
    fragment = {"type": "array", "items": {"type": "integer"}}

    assert ["expected an integer, got the text 'x'"] == check_value(fragment, [1, "x"])


def test_of_branches_the_one_of_the_right_type_is_explained() -> None:
    fragment = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}

    assert (["expected text, got the number 1"], ["expected an integer or a list, got true"]) == (
        check_value(fragment, ["a", 1]),
        check_value(fragment, True),
    )


def test_only_the_kinds_that_may_be_needed_are_loaded() -> None:
    plain = {"stages": {"a": {"run": "m:f"}}}
    kinds = {"stages": {"a": {"run": {"lines": {"path": "x"}}}}}

    bare, built_in = (
        workflow_schema({}, with_jobs=False, with_tests=False),
        workflow_schema(built_in_kinds(["lines"]), with_jobs=False, with_tests=False),
    )
    assert (bare, built_in) == (schema_for(plain), schema_for(kinds))
    assert workflow_schema({}) == schema_for({"jobs": {}, "tests": {}})


KEYS = ["run", "from", "to", "count", "names", "daemon", "env", "with", "needs", "nice", "cuont"]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["m:f", "q", "", " ", "yes", 0, 1, 10_001, -21, 1.5, True, None, [], ["a", 1], {}]),
    st.dictionaries(st.sampled_from(["A", "B=", "lines"]), st.sampled_from(["x", 1, None, {}]), max_size=2),
)
STAGES = st.one_of(VALUES, st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))


@given(stages=st.dictionaries(st.sampled_from(["a", "b", "c", "-", "é"]), STAGES, max_size=5))
def test_sharing_a_verdict_changes_nothing(stages: dict[str, Any]) -> None:
    """
    Stages that look alike to the schema are validated once. What is said of each is what is said of it alone.
    """
    together = check_shape(schema_for({"stages": stages}), {"name": "w", "stages": stages})
    schema = schema_for({"stages": stages})
    alone = [f for name in stages for f in check_shape(schema, {"name": "w", "stages": {name: stages[name]}})]

    assert {f for f in alone if len(f.path) > 1} == {f for f in together if len(f.path) > 1}


@pytest.mark.slow
def test_some_ten_thousand_stages_are_validated_in_less_than_a_second() -> None:
    stages = {f"s{n}": {"run": "m:f", "from": f"q{n}", "to": "q", "count": n % 9 + 1} for n in range(10_000)}
    data = {"name": "w", "stages": stages}
    check_value({"type": "string"}, "")  # so that the import is not measured

    started = time.process_time()
    diagnostics = check_shape(schema_for(data), data)

    assert ([], True) == (diagnostics, time.process_time() - started < 1.0)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("script", "run"),
        ("comand", "run"),
        ("retry", "attempts"),
        ("when", "if"),
        ("cwd", "working-directory"),
    ],
)
def test_a_word_of_other_tools_gets_the_one_that_is_right_here(key: str, meant: str) -> None:
    job = {key: "y"} if meant == "run" else {"run": "x", key: "y"}
    data = {"name": "w", "jobs": {"a": job}}

    found = [f for f in check_shape(schema_for(data), data) if f.code == "unknown-key"]

    assert [(f"did you mean '{meant}'?", meant)] == [(f.help, f.meant) for f in found]


@pytest.mark.parametrize(("count", "help_"), [(3, "did you mean 'description'?"), (20_000, None)])
def test_so_many_unknown_keys_are_no_slips_and_are_not_compared_with_all_others(
    count: int, help_: str | None
) -> None:
    data = {"name": "w", "stages": {"a": {"run": "m:f"}}, **{f"descriptio{n}": "x" for n in range(count)}}

    found = check_shape(schema_for(data), data)

    assert (count, help_) == (len(found), found[0].help)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits:\n  timeout:\xa05s\n", "a no-break space (U+00A0) stands there"),
        ("limits:\n  timeout\uff1a 5s\n", "a full-width colon (U+FF1A) stands there"),
        ("stages:\n  a: {run: 'm:f', count:\u30002}\n", "an ideographic space (U+3000) stands there"),
    ],
)
def test_what_only_looks_like_a_colon_and_a_space_is_named(text: str, words: str) -> None:
    data = {"name": "w", "stages": {"b": {"run": "m:f"}}, **read_text(text, "w.yaml").data}

    assert any(words in (found.help or "") for found in check_shape(schema_for(data), data))


@pytest.mark.parametrize(
    ("written", "help_"),
    [
        ("null", "the kind of handler 'null' is written run: {\"null\": {}}, with its options within"),
        ('"null"', "the kind of handler 'null' is written run: {\"null\": {}}, with its options within"),
        ("print", "the kind of handler 'print' is written run: {print: {}}, with its options within"),
        ("prints", None),
        ("[1]", None),
    ],
)
def test_the_name_of_a_kind_alone_is_told_how_it_is_written(written: str, help_: str | None) -> None:
    text = f"name: n\nstages:\n  a: {{run: {written}, from: q}}\n"

    assert [help_] == [problem[-1] for problem in problems_of(text)]
