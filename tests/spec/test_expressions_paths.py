"""Functions of the paths of files, in texts and in conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.jobs.templates import TemplateFiller
from runner.spec.expressions.check import KnownNames, check_condition
from runner.spec.expressions.evaluate import Context, evaluate, parse_condition
from runner.spec.expressions.paths import PATH_FUNCTIONS, apply_functions
from runner.spec.references import compile_template, interpolate, references, texts_known
from runner.spec.source.reader import read_text


@pytest.mark.parametrize(
    ("path", "basename", "dirname", "stem", "suffix"),
    [
        ("photos/2024/a.tar.gz", "a.tar.gz", "photos/2024", "a.tar", ".gz"),
        ("/a", "a", "/", "a", ""),
        ("a.txt", "a.txt", ".", "a", ".txt"),
        ("包子/一 二.jpg", "一 二.jpg", "包子", "一 二", ".jpg"),
        (".bashrc", ".bashrc", ".", ".bashrc", ""),
        ("dir/", "dir", ".", "dir", ""),
        ("", "", ".", "", ""),
    ],
)
def test_the_parts_of_a_path(path: str, basename: str, dirname: str, stem: str, suffix: str) -> None:
    made = {name: apply_functions([name], path) for name in PATH_FUNCTIONS}

    assert made == {"basename": basename, "dirname": dirname, "stem": stem, "suffix": suffix}
    assert (stem + suffix, made["stem"]) == (basename, Path(path).stem)


@pytest.mark.parametrize(
    ("template", "item", "filled"),
    [
        ("${{ stem(item) }}.png", "a/b.jpg", "b.png"),
        ("${{ stem(item.path) }}", {"path": "a/b.jpg"}, "b"),
        ("${{ stem( stem( item ) ) }}", "a/b.tar.gz", "b"),
        ("${{basename(dirname(item[0]))}}", ["a/b/c"], "b"),
        ("${{ suffix(item) }}", b"x/\xff.gz", ".gz"),
        ("${{ stem(item) }}", Path("a/b.c"), "b"),
        ("${{ stem(item['a b']) }}", {"a b": "x.y"}, "x"),
    ],
)
def test_a_function_stands_round_the_names(template: str, item: object, filled: object) -> None:
    assert compile_template(template)(item) == filled


@pytest.mark.parametrize(
    ("template", "item", "error", "words"),
    [
        (
            "${{ stem(item) }}",
            {"path": "a", "size": 3},
            TypeError,
            "got dict; name a field of it, such as 'path'",
        ),
        ("${{ stem(item) }}", {"size": 3}, TypeError, "such as 'size'"),
        ("${{ stem(item) }}", 3, TypeError, r"stem\(\) takes the path of a file, got int"),
        ("${{ stem(item.pth) }}", {"path": "a"}, LookupError, "has no 'pth'; did you mean 'path'"),
    ],
)
def test_an_item_that_it_does_not_fit_is_told_with_the_right_field(
    template: str, item: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        compile_template(template)(item)


def replaced(text: str, params: dict[str, Any]) -> tuple[Any, list[tuple[int, str, str | None]]]:
    source = read_text(f"a: {text}", "w.yaml")
    value, found = interpolate(source, source.data, {"params": params}, base=())
    return value["a"], [(each.span.column, each.message, each.help) for each in found]


def test_params_have_functions_too() -> None:
    assert replaced("${{ stem(params.file) }}-${{ suffix(params.file) }}", {"file": "x/a.b"}) == ("a-.b", [])


@pytest.mark.parametrize(
    ("text", "column", "message", "help_"),
    [
        ("${{ stm(params.f) }}", 8, "there is no function 'stm' here", "did you mean 'stem'?"),
        ("${{ stem(params.g) }}", 13, "there is no 'params.g'", "known here: f, n"),
        ("${{ params.f | stem }}", 8, "'params.f | stem' is not a reference", "write ${{ stem(params.f) }}"),
        ("${{ stem() }}", 4, "this reference is empty", None),
        ("${{ stem(params.n) }}", 13, "stem() takes the path of a file, got int", "a path is a text"),
        ("${{ stem(params.f }}", 8, "'stem(params.f' is not a reference", None),
        (f"${{{{ {'stem(' * 11}params.f{')' * 11} }}}}", 58, "more than 10 functions", None),
    ],
)
def test_a_function_that_is_not_right_is_a_problem_at_its_place(
    text: str, column: int, message: str, help_: str | None
) -> None:
    _, [(at, said, helps)] = replaced(text, {"f": "a.b", "n": 3})

    assert (at, said) == (column, message)
    assert help_ is None or help_ == helps


def test_what_a_script_is_given_is_known_by_the_whole_expression() -> None:
    text = "mv ${{ params.f }} ${{ stem(params.f) }}"
    known = texts_known(text, {"params": {"f": "a/b.c"}})

    assert known == {"params.f": "a/b.c", "stem(params.f)": "b"}
    assert [each.expression for each in references(text)] == list(known)
    assert TemplateFiller().script(text, known)[1] == {"MPRUN_VALUE_1": "a/b.c", "MPRUN_VALUE_2": "b"}


def test_what_a_job_learns_late_has_them_too() -> None:
    filler = TemplateFiller({"build": {"result": "passed", "outputs": {"wheel": "dist/a-1.whl"}}})

    assert filler.text("${{ basename(needs.build.outputs.wheel) }}") == "a-1.whl"


def test_conditions_have_them_too() -> None:
    condition, problems = parse_condition("suffix(params.file) == '.gz'", ())
    assert (condition is not None, problems) == (True, [])

    assert evaluate(condition, Context(params={"file": "a.gz"})).runs
    assert not evaluate(condition, Context(params={"file": "a.xz"})).runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stem() == 'a'", "stem() takes 1 argument, got 0"),
        ("stem(params.l) == 'a'", "'params.l' is a list, and stem() takes a text here"),
    ],
)
def test_a_condition_that_uses_them_wrongly_is_a_problem(text: str, message: str) -> None:
    condition, _ = parse_condition(text, ())
    assert condition is not None

    assert [found.message for found in check_condition(condition, KnownNames(params={"l": [1]}), ())] == [
        message
    ]
