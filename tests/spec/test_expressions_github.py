"""What expressions come to, beside what `@actions/expressions` makes of them, and whether real ones are read.

`expressions_github.json` has expressions with the values that this npm package gave; one without is an error there.
With ACTIONS_EXPRESSIONS=/path/of/node_modules the package is asked again, about those and about random ones.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.ast import ConditionMistake, parse_expression
from runner.spec.expressions.check import KnownNames, check_condition
from runner.spec.expressions.evaluate import Context, parse_condition, value_of
from runner.spec.expressions.functions import FUNCTIONS, ExpressionError

HERE = Path(__file__).parent
TABLE = json.loads((HERE / "expressions_github.json").read_text(encoding="utf-8"))
CONDITIONS = (HERE / "conditions.txt").read_text(encoding="utf-8").splitlines()
ERROR = "an error"
CONTEXTS = ("github", "steps", "inputs", "runner", "job", "strategy", "vars", "secrets")

WORDS = (
    *"()[].,*!' a1-}",
    *(
        "==",
        "&&",
        "<",
        "github",
        "x.y",
        "'t'",
        "join",
        "fromJSON",
        "format",
        "toJSON",
        "'{0}'",
        "'[1]'",
        "${{",
    ),
)


def value(text: str, context: Any = TABLE["context"]) -> Any:
    """Return what an expression comes to, as JSON knows it."""
    try:
        found = value_of(parse_expression(text), Context(more=context))
        to_json = FUNCTIONS["toJSON"].call
        assert to_json is not None
        return json.loads(str(to_json(found)))
    except (ExpressionError, ConditionMistake):
        return ERROR


def test_expressions_come_to_what_they_come_to_on_github() -> None:
    differs = {
        text: (mine, theirs)
        for text, *theirs in TABLE["cases"]
        if json.dumps(mine := value(text)) != json.dumps(theirs[0] if theirs else ERROR)
    }

    assert {} == differs
    assert len(TABLE["cases"]) > 900


def test_conditions_of_the_kind_that_workflows_have_are_read() -> None:
    known = KnownNames(
        needs={"build": ["version", "matrix"], "test": None, "changes": None, "plan": None},
        matrix=["os", "python", "node", "experimental", "coverage", "target"],
        more=dict.fromkeys(CONTEXTS),
        functions=tuple(FUNCTIONS),
    )
    refused = {}
    for line in CONDITIONS:
        condition, found = parse_condition(line, ())
        found = found or check_condition(condition, known, ()) if condition else found
        if found:
            refused[line] = [each.message for each in found]

    assert len(CONDITIONS) >= 300
    assert len(CONDITIONS) == len(set(CONDITIONS))
    assert {} == refused


@given(st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
def test_no_text_breaks_the_reading_or_the_evaluation(text: str) -> None:
    condition, found = parse_condition(text, ())

    assert (condition is None) == bool(found)
    if condition is not None and not check_condition(condition, KnownNames(more={"github": None}), ()):
        value(text.strip().removeprefix("${{").removesuffix("}}"))


@pytest.mark.parametrize("levels", range(100, 1500, 100))
def test_a_value_that_nests_deep_is_shown_or_refused(levels: int) -> None:
    deep = "[" * levels + "]" * levels

    shown = value("toJSON(fromJSON(github.deep))", {"github": {"deep": deep}})

    assert shown == ERROR or json.loads(shown) == json.loads(deep)


@pytest.mark.slow
def test_the_package_itself_agrees() -> None:
    packages, node = os.environ.get("ACTIONS_EXPRESSIONS"), shutil.which("node")
    if not packages or node is None:
        pytest.skip("set ACTIONS_EXPRESSIONS to a node_modules with @actions/expressions, and have node")
    random = Random(1)
    cases = [text for text, *_ in TABLE["cases"]]
    cases += [expression(random, 3) for _ in range(20_000)]
    driver = HERE.parents[1] / "benchmarks" / "expressions.mjs"
    asked = json.dumps({"context": TABLE["context"], "cases": cases})
    ran = subprocess.run(
        [node, str(driver), packages], input=asked, capture_output=True, text=True, check=True, timeout=300
    )
    differs = {}
    for text, theirs in zip(cases, json.loads(ran.stdout), strict=True):
        mine, expected = value(text), theirs.get("value") if "error" not in theirs else ERROR
        if json.dumps(mine) != json.dumps(expected):
            differs[text] = (mine, expected)

    assert {} == differs


def expression(random: Random, depth: int) -> str:
    """Return an expression made at random."""
    parts = [
        "github.list",
        "github.rows.*.name",
        "github.map.k",
        "'a'",
        "'B'",
        "''",
        "1",
        "0",
        "-2.5",
        "null",
    ]
    if depth == 0 or random.random() < 0.2:
        return random.choice(
            [*parts, "true", "false", "github.rows", "github.rows[1].name", "github.none", "NaN"]
        )

    def below() -> str:
        return expression(random, depth - 1)

    match random.randrange(7):
        case 0 | 1:
            return f"({below()} {random.choice(['==', '!=', '<', '<=', '>', '>=', '&&', '||'])} {below()})"
        case 2:
            return f"!{below()}"
        case 3:
            return f"{random.choice(['contains', 'startsWith', 'endsWith'])}({below()}, {below()})"
        case 4:
            return f"format('{{0}}-{{1}}', {below()}, {below()})"
        case 5:
            return f"join({below()}, {below()})"
        case _:
            return f"toJSON({below()})"
