"""What expressions come to, by GitHub's rules: a table of cases, and conditions as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.ast import ConditionMistake, parse_expression
from runner.spec.expressions.check import KnownNames, check_condition
from runner.spec.expressions.evaluate import Context, NeedContext, evaluate, parse_condition, value_of
from runner.spec.expressions.functions import ExpressionError

NEEDS: Mapping[str, NeedContext] = {
    "build": {"result": "passed", "outputs": {"version": "1.2", "list": '["a", "b"]'}},
    "lint": {"result": "failed", "outputs": {}},
    "slow": {"result": "timed_out", "outputs": {"per leg": {"3.11, linux": "x", "3.12": "y"}}},
    "docs": {"result": "allowed", "outputs": {}},
}
EVENT = {
    "pull_request": {
        "draft": False,
        "labels": [{"name": "bug"}, {"name": "CI"}, {"id": 3}],
        "head": {"repo": {"fork": True}},
    },
    "commits": [{"files": ["a", "b"]}, {"files": ["c"]}],
}
CONTEXT = Context(
    needs=NEEDS,
    matrix={"os": "ubuntu-latest", "python": "3.12", "versions": ["3.11", "3.12"], "risky": True},
    params={
        "Count": 3,
        "list": ["one", "two"],
        "nested": {"a b": 1, "x.y": 2, "list": [{"n": 1}, {"n": 2}, 3]},
    },
    env={"BRANCH": "main", "branch": "small", "KEY": "python"},
    more={"github": {"ref": "refs/heads/main", "event_name": "push", "event": EVENT, "actor": "octo-cat"}},
)

CASES: list[tuple[str, object]] = [
    # Literals.
    ("true", True),
    ("null", None),
    ("'it''s'", "it's"),
    ("0xff", 255),
    ("-2.99e1", -29.9),
    ("1e3", 1000),
    # What is true: a list or a map, even an empty one, and a text that is not empty.
    ("!''", True),
    ("!'0'", False),
    ("!0", True),
    ("!null", True),
    ("!fromJSON('[]')", False),
    ("!fromJSON('{}')", False),
    # && and || give one of their sides.
    ("'a' && 'b'", "b"),
    ("'' && 'b'", ""),
    ("'' || 'b'", "b"),
    ("null || 0", 0),
    ("false || null", None),
    ("matrix.os == 'x' && 'yes' || 'no'", "no"),
    ("matrix.risky && 'yes' || 'no'", "yes"),
    # == does not mind the case of texts, and compares all else as numbers.
    ("'A' == 'a'", True),
    ("'1' == 1", True),
    ("'01' == 1", True),
    ("'' == 0", True),
    ("null == 0", True),
    ("null == ''", True),
    ("null == false", True),
    ("true == 1", True),
    ("true == 'true'", False),
    ("'abc' == 0", False),
    ("'0x10' == 16", True),
    ("' 7 ' == 7", True),
    ("fromJSON('[1]') == fromJSON('[1]')", False),
    ("params.list == params.list", True),
    ("params.list == 'one'", False),
    ("1 != 2", True),
    # < and > take numbers, or texts by their letters.
    ("'10' < 9", False),
    ("'b' > 'A'", True),
    ("'abc' < 1", False),
    ("'abc' >= 1", False),
    ("null <= 0", True),
    ("params.list >= params.list", True),
    ("2 > 1 == true", True),
    # Entries, in any case and by any expression.
    ("PARAMS.count", 3),
    ("params['COUNT']", 3),
    ("params.nested['a b']", 1),
    ("params.nested['x.y']", 2),
    ("params.list[0]", "one"),
    ("params.list['1']", "two"),
    ("params.list[1.9]", "two"),
    ("params.list[-1]", None),
    ("params.list[7]", None),
    ("params.list.name", None),
    ("params['list'][matrix.risky]", "two"),
    ("matrix[env.KEY]", "3.12"),
    ("matrix[format('{0}s', 'version')][1]", "3.12"),
    ("matrix.nothing.below", None),
    ("env.BRANCH", "main"),
    ("env.branch", "small"),
    ("env.Branch", None),
    ("github.event.pull_request.head.repo.fork", True),
    ("GitHub.Ref", "refs/heads/main"),
    ("github.event.nope.x", None),
    ("needs.slow.outputs['per leg']['3.11, linux']", "x"),
    # Filters: what comes behind is asked of each, and what has none is left out.
    ("github.event.pull_request.labels.*.name", ["bug", "CI"]),
    ("github.event.pull_request.labels[*].name", ["bug", "CI"]),
    ("join(github.event.commits.*.files.*, '')", "abc"),
    ("github.event.commits.*.files[0]", ["a", "c"]),
    ("params.nested.list.*.n", [1, 2]),
    ("params.nested.*[0].n", [1]),
    ("null.x || 'none'", "none"),
    ("contains(github.event.pull_request.labels.*.name, 'ci')", True),
    ("params.list.*", ["one", "two"]),
    ("join(needs.*.outputs.version)", "1.2"),
    ("github.event.*.draft", [False]),
    # Results have both words.
    ("needs.build.result == 'success'", True),
    ("needs.build.result == 'passed'", True),
    ("needs.build.result == 'Success'", True),
    ("needs.lint.result == 'failure'", True),
    ("needs.slow.result == 'failure'", True),
    ("needs.slow.result == 'timed_out'", True),
    ("needs.docs.result == 'success'", True),
    ("needs.docs.result == 'failure'", False),
    ("needs.build.result != 'success'", False),
    ("needs.build.result == needs.docs.result", False),
    ("contains(needs.*.result, 'failure')", True),
    ("contains(needs.*.result, 'cancelled')", False),
    ("contains('success,skipped', needs.build.result)", True),
    ("startsWith(needs.lint.result, 'fail')", True),
    ("needs['lint'].result", "failed"),
    # Functions.
    ("contains('Hello world', 'WORLD')", True),
    ("contains('abc', '')", True),
    ("contains(params.list, 'TWO')", True),
    ("contains(fromJSON('[1, 2]'), '2')", True),
    ("contains(fromJSON('[\"ab\"]'), 'a')", False),
    ("contains(12345, 34)", True),
    ("contains('abc', params.list)", False),
    ("startsWith('Hello', 'he')", True),
    ("endsWith('Hello', 'LO')", True),
    ("startsWith(123, 12)", True),
    ("StartsWith('x', '')", True),
    ("format('{0}-{1}', 'a', 2)", "a-2"),
    ("format('{1}{0}{1}', 'a', 'b')", "bab"),
    ("format('{{0}}')", "{0}"),
    ("format('{{{0}}}', 'x')", "{x}"),
    ("format('{0}', null)", ""),
    ("format('{0}', true)", "true"),
    ("format('{0}', params.list)", "Array"),
    ("format('{0} {1}', 1.0, 0.5)", "1 0.5"),
    ("format('none', 'left')", "none"),
    ("join(params.list)", "one,two"),
    ("join(params.list, ' and ')", "one and two"),
    ("join('one')", "one"),
    ("join(fromJSON('[]'))", ""),
    ("join(fromJSON('[1, true, null]'), '-')", "1-true-"),
    ("fromJSON('3')", 3),
    ("fromJSON('\"x\"')", "x"),
    ('fromJSON(\'{"a": {"b": 1}}\').a.b', 1),
    ("fromJSON('[[1], [2]]')[1][0]", 2),
    ("fromJSON(needs.build.outputs.list)[1]", "b"),
    ("fromJSON('true') && 'on' || 'off'", "on"),
    ("fromJSON('{\"A\": 1}')['a']", 1),
    ("fromJSON('null')", None),
    ("toJSON('a\"b')", '"a\\"b"'),
    ("toJSON(null)", "null"),
    ("toJSON(1.0)", "1"),
    ("toJSON(params.list)", '[\n  "one",\n  "two"\n]'),
    ("toJSON(fromJSON('{}'))", "{}"),
    ("fromJSON(toJSON(params.nested)).list[1].n", 2),
    ("toJSON('包子')", '"包子"'),
    ("hashFiles('a', 'b') == hashFiles('a', 'b')", True),
    ("HASHFILES('a') == hashfiles('b')", False),
    ("basename('a/b.txt')", "b.txt"),
    ("(params.nested).list[0].n", 1),
    ("(params.list)[1]", "two"),
    ("format('{0}', needs.build.result)", "passed"),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_an_expression_comes_to_what_it_does_on_github(text: str, expected: object) -> None:
    found = value_of(parse_expression(text), CONTEXT, " ".join)

    assert (expected, type(expected) is bool) == (found, type(found) is bool)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fromJSON('')", "got an empty text"),
        ("fromJSON('{')", "got '{', which is no JSON"),
        ("fromJSON('NaN')", "which is no JSON"),
        ("format('{0} {1}', 'a')", "has no value for {1}"),
        ("format('{0')", "can't read '{'"),
        ("format('}')", "can't read '}'"),
    ],
)
def test_what_has_no_value_says_why(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value_of(parse_expression(text), CONTEXT)

    assert said in str(caught.value)


def test_a_condition_without_a_value_is_a_mistake_and_not_a_false_one() -> None:
    condition, _ = parse_condition("fromJSON(needs.lint.outputs.nothing).x", ())

    result = evaluate(condition, Context())

    assert (False, True) == (result.runs, result.is_broken)
    assert "fromJSON() got an empty text" in result.reason


# Conditions as workflows have them: parts, and how they are put together.
EVENTS = (
    "push",
    "pull_request",
    "schedule",
    "workflow_dispatch",
    "release",
    "merge_group",
    "issue_comment",
    "workflow_run",
    "create",
)
SHAPES = (
    "github.event_name == '{event}'",
    "github.event_name != '{event}'",
    "github.event_name == '{event}' && github.ref == 'refs/heads/main'",
    "github.event_name == '{event}' || startsWith(github.ref, 'refs/tags/v')",
    "always() && github.event_name == '{event}'",
    "failure() && github.event_name != '{event}'",
    "${{{{ github.event_name == '{event}' && github.repository == 'octo/repo' }}}}",
    "!cancelled() && github.event_name == '{event}' && !github.event.pull_request.draft",
    'contains(fromJSON(\'["{event}", "x"]\'), github.event_name)',
    "(github.event_name == '{event}' && github.event.action != 'closed') || needs.build.outputs.run == 'true'",
    "success() && github.event_name == '{event}' && contains(github.event.head_commit.message, '[ci]')",
    "github.event_name == '{event}' && !contains(github.event.pull_request.labels.*.name, 'skip-ci')",
)
RESULT_WORDS = ("success", "failure", "cancelled", "skipped")
RESULT_SHAPES = (
    "needs.build.result == '{result}'",
    "needs.build.result != '{result}'",
    "always() && needs.build.result == '{result}'",
    "always() && contains(needs.*.result, '{result}')",
    "!contains(needs.*.result, '{result}')",
    "${{{{ always() && (needs.build.result == '{result}' || needs.build.result == 'skipped') }}}}",
    "always() && !contains(join(needs.*.result, ','), '{result}')",
    "steps.test.outcome == '{result}'",
    "steps.test.outcome == '{result}' && steps.build.conclusion != '{result}'",
    "always() && steps.test.conclusion == '{result}'",
    "job.status == '{result}'",
)
SYSTEMS = ("ubuntu-latest", "windows-latest", "macos-latest", "ubuntu-22.04")
SYSTEM_SHAPES = (
    "matrix.os == '{system}'",
    "matrix.os != '{system}' && matrix.python == '3.12'",
    "startsWith(matrix.os, '{system}')",
    "contains(matrix.os, '{system}') && always()",
    "!startsWith(matrix.os, '{system}')",
    "runner.os == 'Linux' && matrix.os == '{system}'",
    "matrix.os == '{system}' && (matrix.python == '3.11' || matrix.risky)",
    "${{{{ matrix.os == '{system}' }}}}",
    "matrix.os == '{system}' && steps.cache.outputs.cache-hit != 'true'",
)
WORDS = ("version", "changed", "deploy", "run")
WORD_SHAPES = (
    "needs.build.outputs.{word} == 'true'",
    "needs.build.outputs.{word} != ''",
    "needs.build.outputs['{word}'] != 'false'",
    "steps.build.outputs.{word} == 'true'",
    "steps.build.outputs.{word}",
    "inputs.{word}",
    "inputs.{word} == true",
    "inputs.{word} != '' && github.ref_type == 'tag'",
    "github.event.inputs.{word} == 'true'",
    "env.{word} == 'true'",
    "env.{word} != ''",
    "vars.{word} == 'yes'",
    "fromJSON(needs.build.outputs.{word})[0] != null",
    "fromJSON(needs.build.outputs.{word}).{word} == true",
    "startsWith(steps.build.outputs.{word}, 'v') && !endsWith(steps.build.outputs.{word}, '-rc')",
    "contains(github.event.comment.body, '/{word}')",
    "github.event.issue.pull_request && contains(github.event.comment.body, '/{word}')",
    "github.event.workflow_run.conclusion == 'success' && inputs.{word}",
)
PLAIN = (
    *(
        "always()",
        "failure()",
        "cancelled()",
        "success()",
        "!cancelled()",
        "!failure() && !cancelled()",
        "success() || failure()",
    ),
    *(
        "true",
        "false",
        "${{ always() }}",
        "${{ !cancelled() }}",
        "${{ failure() }}",
        "Always()",
        "FAILURE() || Success()",
    ),
    *("github.ref == 'refs/heads/main'", "startsWith(github.ref, 'refs/tags/')", "github.ref_name == 'main'"),
    *(
        "github.actor != 'dependabot[bot]'",
        "github.actor == 'renovate[bot]' || github.triggering_actor == 'octo'",
    ),
    *("github.repository_owner == 'octo'", "github.repository == 'octo/repo' && github.run_attempt == 1"),
    *(
        "github.event.pull_request.head.repo.full_name == github.repository",
        "github.head_ref == ''",
        "github.base_ref != 'main'",
    ),
    *("github.event.pull_request.merged == true", "github.event.action == 'opened'", "github.event.number"),
    *(
        "runner.os == 'Linux'",
        "runner.os != 'Windows'",
        "runner.os == 'macOS' && runner.arch == 'ARM64'",
        "runner.debug == '1'",
    ),
    *(
        "hashFiles('**/package-lock.json') != ''",
        "hashFiles('Cargo.lock') && steps.cache.outputs.cache-hit != 'true'",
    ),
    *(
        "steps.cache.outputs.cache-hit != 'true'",
        "steps.test.outputs['exit code'] == 0",
        "toJSON(matrix) != '{}'",
    ),
    *(
        "strategy.job-index == 0",
        "strategy.job-total > 1",
        "github.event.schedule == '0 0 * * *'",
        "format('{0}', matrix.os) == 'x'",
    ),
    *(
        "github['event_name'] == 'push'",
        "github.event['pull_request']['draft'] == false",
        "matrix.python >= 3.1",
    ),
    *(
        'contains(\'["a", "b"]\', matrix.os)',
        "github.event.release.prerelease",
        "!github.event.release.draft",
    ),
    *(
        "github.event.commits[0].message != ''",
        "join(github.event.commits.*.id, ',') != ''",
        "github.event.forced",
    ),
)
CORPUS = [
    *PLAIN,
    *(shape.format(event=event) for shape in SHAPES for event in EVENTS),
    *(shape.format(result=result) for shape in RESULT_SHAPES for result in RESULT_WORDS),
    *(shape.format(system=system) for shape in SYSTEM_SHAPES for system in SYSTEMS),
    *(shape.format(word=word) for shape in WORD_SHAPES for word in WORDS),
    # What even GitHub refuses, or what is no condition.
    *("secrets.TOKEN != ''", "matrix.os = 'x'", 'github.ref == "refs/heads/main"'),
]
OPEN = dict.fromkeys(("github", "steps", "inputs", "vars", "runner", "job", "strategy"))
KNOWN = KnownNames(
    needs={"build": ["version", "changed", "deploy", "run"], "lint": []},
    matrix=("os", "python", "risky"),
    more=OPEN,
)


def test_of_conditions_as_people_write_them_nearly_all_are_taken() -> None:
    refused = [text for text in CORPUS if wrong_with(text)]

    assert len(CORPUS) >= 300
    assert len(refused) <= 0.02 * len(CORPUS), refused


def wrong_with(text: str) -> list[Any]:
    condition, found = parse_condition(text, ())
    return found if condition is None else check_condition(condition, KNOWN, ())


ALPHABET = st.text(st.sampled_from("abn.*[](){}'\"0189 ,!=<>&|$-_é包\n\t"), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        (
            "needs",
            ".build",
            ".result",
            "[",
            "]",
            "*",
            ".*",
            "(",
            ")",
            "'a'",
            "1",
            ",",
            "&&",
            "!",
            "==",
            "format(",
            "fromJSON(",
        )
    ),
    max_size=25,
).map("".join)


@given(st.one_of(ALPHABET, PIECES))
def test_whatever_is_written_is_read_or_refused_at_its_characters(text: str) -> None:
    try:
        tree = parse_expression(text)
    except ConditionMistake as mistake:
        assert 0 <= mistake.start <= len(text)
        return
    condition, _ = parse_condition(text, ())
    if condition is not None:
        check_condition(condition, KNOWN, ())
        evaluate(condition, CONTEXT)
    assert tree is not None
