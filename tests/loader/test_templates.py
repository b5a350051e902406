"""`use`: what stands for a stage, under which names, and where problems of templates point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import SpecError
from runner.loader.load import Checked, check
from runner.spec.plan import make_plan

RESIZE = """
params:
  size: {type: integer, minimum: 1, description: The most pixels.}
  workers: {default: 2}
queues: {between: {maxsize: 5}}
stages:
  shrink: {run: "h:shrink", with: {size: "${{ params.size }}"}, count: "${{ params.workers }}", from: in, to: between}
  check: {run: "h:check", needs: [], from: between, to: out}
"""
MAIN = """
name: main
stages:
  read: {run: "h:read", to: photos}
  small: {use: resize.yaml, with: {size: 64}, queues: {in: photos, out: thumbs}}
  save: {run: "h:save", from: thumbs}
"""
HANDLERS = """
def read(): yield 1
def shrink(item, size): return item
def check(item): return item
def save(item): pass
def sweep(): pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("h.py").write_text(HANDLERS, encoding="utf-8")
    return tmp_path


def checked(
    main: str = MAIN, *, params: tuple[str, ...] = (), sets: tuple[str, ...] = (), **files: str
) -> Checked:
    """Check `main` beside `resize.yaml` and other files; `__` in a name is a folder."""
    for name, text in {"resize": RESIZE, **files, "main": main}.items():
        path = Path(name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return check(Path("main.yaml"), params=params, overrides=sets)


def told(found: Checked) -> list[tuple[str, str, list[str]]]:
    """Return the place, the code and the uses of each problem."""
    return [
        (
            f"{d.file}:{d.span.line}:{d.span.column}",
            d.code,
            [f"{u.name}@{u.file}:{u.span.line}" for u in d.used],
        )
        for d in found.diagnostics
    ]


def stages(found: Checked) -> dict[str, tuple[str | None, str | None]]:
    """Return the queues of each stage."""
    if found.spec is None:
        raise SpecError(found.diagnostics)
    return {stage.name: (stage.receives, stage.sends) for stage in found.spec.stages}


def test_a_use_stands_for_the_stages_of_its_template_between_the_queues_that_it_names() -> None:
    assert {
        "read": (None, "photos"),
        "small-shrink": ("photos", "small-between"),
        "small-check": ("small-between", "thumbs"),
        "save": ("thumbs", None),
    } == stages(checked())


def test_a_template_is_used_twice_with_values_of_each_use() -> None:
    main = MAIN.replace("out: thumbs", "out: medium") + (
        "  tiny: {use: resize.yaml, with: {size: 8, workers: 1}, queues: {in: medium, out: thumbs}}\n"
    )
    found = checked(main)

    assert [] == told(found)
    assert found.spec is not None
    sizes = {
        s.name: (s.arguments.get("size"), len(s.workers)) for s in found.spec.stages if "shrink" in s.name
    }
    assert {"small-shrink": (64, 2), "tiny-shrink": (8, 1)} == sizes


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, 64),
        ({"params": ("small-size=9",)}, 9),
        ({"sets": ("stages.small.with.size=10",)}, 10),
        ({"sets": ("stages.small-shrink.with.size=11",)}, 11),
    ],
)
def test_the_command_line_reaches_into_a_template(given: Any, size: int) -> None:
    found = checked(**given)

    assert found.spec is not None
    assert size == next(s.arguments["size"] for s in found.spec.stages if s.name == "small-shrink")


def test_values_may_refer_to_what_the_using_file_has() -> None:
    found = checked(MAIN.replace("size: 64", 'size: "${{ params.n }}"') + "params: {n: {default: 5}}\n")

    assert [] == told(found)
    assert found.spec is not None
    assert {"n": 5, "small-size": 5, "small-workers": 2} == found.spec.params


def test_a_value_goes_into_a_script_as_safely_as_that_of_any_param() -> None:
    script = """
params: {text: {type: string}}
stages: {say: {run: {command: "echo ${{ params.text }}"}, from: in}}
"""
    use = "{use: say.yaml, with: {text: $(id)}, queues: {in: q}}"
    main = f"name: main\nstages:\n  read: {{run: 'h:read', to: q}}\n  x: {use}\n"
    found = checked(main, say=script)

    assert found.spec is not None
    handler = found.spec.stages[1].handler
    assert ("echo ${{ params.x-text }}", {"params.x-text": "$(id)"}) == (handler.options, handler.values)


def test_templates_use_templates_which_start_at_their_own_folder() -> None:
    outer = """
params: {n: {type: integer}}
stages:
  again: {use: ../resize.yaml, with: {size: "${{ params.n }}"}, queues: {in: in, out: out}}
"""
    main = MAIN.replace("resize.yaml, with: {size: 64}", "deep/outer.yaml, with: {n: 7}")
    found = checked(main, deep__outer=outer)

    assert [] == told(found)
    assert ["read", "small-again-shrink", "small-again-check", "save"] == [*stages(found)]
    assert found.spec is not None
    assert 7 == found.spec.stages[1].arguments["size"]


def test_who_needs_a_use_needs_all_that_it_stands_for() -> None:
    found = checked(MAIN + "  sweep: {run: 'h:sweep', needs: small}\n")

    assert found.spec is not None
    assert ("small-shrink", "small-check") == found.spec.stages[-1].needs


def test_defaults_of_a_template_hold_for_its_own_stages_and_queues() -> None:
    template = RESIZE + "defaults: {stage: {on_error: skip, env: {A: a}}, queue: {max_bytes: 1MB}}\n"
    found = checked(MAIN + "env: {B: b}\n", resize=template)

    assert found.spec is not None
    assert ["fail", "skip", "skip", "fail"] == [stage.on_error.value for stage in found.spec.stages]
    sizes = {queue.name: (queue.maxsize, queue.max_bytes) for queue in found.spec.queues}
    assert (5, 1_000_000) == sizes["small-between"]


def test_a_queue_that_both_declare_is_as_the_using_file_says() -> None:
    found = checked(
        MAIN.replace("in: photos", "between: photos2, in: photos") + "queues: {photos2: {maxsize: 9}}\n"
    )

    assert found.spec is not None
    assert {"photos2": 9} == {q.name: q.maxsize for q in found.spec.queues if q.declared}


def test_what_a_run_was_given_has_the_text_of_its_templates() -> None:
    found = checked()

    assert found.spec is not None
    assert (("resize.yaml", RESIZE),) == make_plan(found.spec).given.included


USED = ["small@main.yaml:5"]


@pytest.mark.parametrize(
    ("main", "template", "expected"),
    [
        (MAIN.replace("size: 64", "size: x"), RESIZE, [("main.yaml:5:42", "wrong-param", [])]),
        (MAIN.replace("size: 64", "size: null"), RESIZE, [("main.yaml:5:42", "wrong-param", [])]),
        (MAIN.replace("size: 64", "sise: 64"), RESIZE, [("main.yaml:5:36", "unknown-param", [])]),
        (MAIN.replace("with: {size: 64}, ", ""), RESIZE, [("main.yaml:5:16", "missing-param", [])]),
        (MAIN.replace("with: {size: 64}", "with: [1]"), RESIZE, [("main.yaml:5:29", "wrong-type", [])]),
        (MAIN.replace("with:", "wiht:"), RESIZE, [("main.yaml:5:29", "unknown-key", [])]),
        (MAIN.replace("use:", "usse:"), RESIZE, [("main.yaml:5:11", "unknown-key", [])]),
        (MAIN.replace("resize.yaml", "resise.yaml"), RESIZE, [("main.yaml:5:16", "no-file", [])]),
        (MAIN.replace("resize.yaml", "h.py"), RESIZE, [("main.yaml:5:16", "include-name", [])]),
        (MAIN.replace("resize.yaml", "''"), RESIZE, [("main.yaml:5:16", "out-of-range", [])]),
        (MAIN.replace("use: resize.yaml", "use: 3"), RESIZE, [("main.yaml:5:16", "wrong-type", [])]),
        (MAIN.replace("{in: photos", "{inn: photos"), RESIZE, [("main.yaml:5:56", "unknown-queue", [])]),
        (
            MAIN.replace("queues: {", "stages: {shrunk: a}, queues: {"),
            RESIZE,
            [("main.yaml:5:56", "unknown-stage", [])],
        ),
        (MAIN + "  small-check: {run: 'h:sweep'}\n", RESIZE, [("main.yaml:7:3", "defined-twice", [])]),
        (MAIN, RESIZE.replace("count:", "cuont:"), [("resize.yaml:7:65", "unknown-key", USED)]),
        (
            MAIN,
            RESIZE.replace("params.size", "params.sise"),
            [("resize.yaml:7:47", "unknown-reference", USED)],
        ),
        (MAIN, RESIZE.replace("h:check", "h:chekc"), [("resize.yaml:8:16", "handler-not-found", USED)]),
        (MAIN, RESIZE.replace("params:", "parms:"), [("resize.yaml:2:1", "unknown-key", USED)]),
        (MAIN, RESIZE + "limits: {timeout: 1s}\n", [("resize.yaml:9:1", "unknown-key", USED)]),
        (MAIN, RESIZE + "jobs: {a: {steps: []}}\n", [("resize.yaml:9:1", "unknown-key", USED)]),
        (MAIN, RESIZE.replace("integer", "integre"), [("resize.yaml:3:16", "unknown-value", USED)]),
        (MAIN, RESIZE + "  - x\n", [("resize.yaml:9:3", "yaml-syntax", USED)]),
        (MAIN, "params: {size: {default: 1}}\n", [("resize.yaml:1:1", "missing-key", USED)]),
        (MAIN, "", [("resize.yaml:1:1", "empty-file", USED)]),
    ],
)
def test_each_problem_points_to_its_line_and_to_the_use(
    main: str, template: str, expected: list[Any]
) -> None:
    errors = [each for each in told(checked(main, resize=template)) if each[1] not in ("unused-param",)]

    assert expected == errors


def test_one_problem_in_a_template_that_is_used_twice_is_told_once_with_both_uses() -> None:
    main = MAIN.replace("out: thumbs", "out: medium") + (
        "  tiny: {use: resize.yaml, with: {size: 8}, queues: {in: medium, out: thumbs}}\n"
    )
    found = checked(main, resize=RESIZE.replace("params.size", "params.sise"))
    (problem,) = [each for each in told(found) if each[1] == "unknown-reference"]

    assert ["small@main.yaml:5", "tiny@main.yaml:7"] == problem[2]


def test_a_circle_of_templates_is_told_with_all_its_files() -> None:
    found = checked(
        "name: m\nstages: {a: {use: one.yaml}}\n",
        one="stages: {b: {use: two.yaml}}\n",
        two="stages: {c: {use: one.yaml}}\n",
    )

    assert [("two.yaml:1:19", "template-cycle", ["b@one.yaml:1", "a@main.yaml:2"])] == told(found)
    assert "templates use each other: one.yaml → two.yaml → one.yaml" == found.diagnostics[0].message


@pytest.mark.slow
def test_a_template_that_multiplies_itself_is_stopped() -> None:
    files = {
        f"t{n}": f"stages: {{a: {{use: t{n + 1}.yaml}}, b: {{use: t{n + 1}.yaml}}}}\n" for n in range(12)
    }
    found = checked("name: m\nstages: {x: {use: t0.yaml}}\n", **files, t12="stages: {s: {run: 'h:sweep'}}\n")

    assert "too-many-uses" in {code for _, code, _ in told(found)}


def test_names_may_be_of_any_script() -> None:
    stage = "{run: 'h:shrink', with: {size: \"${{ params.大小 }}\"}, from: 进, to: 出}"
    template = f"params: {{大小: {{default: 1}}}}\nstages: {{缩小: {stage}}}\n"
    main = MAIN.replace("small:", "小 图:").replace(
        "with: {size: 64}, queues: {in: photos, out: thumbs}",
        "with: {大小: 3}, queues: {进: photos, 出: thumbs}",
    )
    found = checked(main, resize=template)

    assert [] == told(found)
    assert ["read", "小 图-缩小", "save"] == [*stages(found)]
    assert found.spec is not None
    assert 3 == found.spec.stages[1].arguments["size"]


def test_routes_and_their_conditions_have_the_names_of_the_using_file() -> None:
    template = """
params: {limit: {type: integer, default: 5}}
stages:
  sort: {run: "h:check", from: in, to: {small: item < params.limit, "big": "item >= params['limit']", else: odd}}
  odd: {run: "h:save", from: odd}
"""
    use = "{use: resize.yaml, queues: {in: photos, small: thumbs, big: rest}}"
    main = f"name: m\nstages:\n  read: {{run: 'h:read', to: photos}}\n  s: {use}\n"
    main += "  save: {run: 'h:save', from: thumbs}\n  rest: {run: 'h:save', from: rest}\n"
    found = checked(main, resize=template)

    assert [] == told(found)
    assert found.spec is not None
    (sort,) = [stage for stage in found.spec.stages if stage.name == "s-sort"]
    assert {
        "thumbs": ("item < params.s-limit", False),
        "rest": ("item >= params.s-limit", False),
        "s-odd": (None, True),
    } == {route.queue: (route.condition, route.takes_rest) for route in sort.routes}
