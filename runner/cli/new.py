"""`mprun new`: a first workflow with its handler and a test, or a copy of an example; both run as they are.

DIR/workflow.yaml           the workflow                        DIR/baozi.yaml     with `--example baozi`
DIR/<name>.py               its handlers                        DIR/baozi.py
DIR/test_<name>.py          a test, in one process
DIR/workflow.schema.json    for the editor, which may be offline
"""

from __future__ import annotations

import json
import keyword
import re
import shlex
import sys
import unicodedata
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import click

from runner.cli.options import examples
from runner.cli.output import print_message, write
from runner.errors import UsageError

_LONGEST_MODULE = 60
_TEMPLATES = Path(__file__).resolve().parent / "templates"


EXAMPLES = examples(
    "mprun new hello",
    "mprun new . --name word-count",
    "mprun new kitchen --example baozi",
    "mprun new gallery --example gallery      every lesson of docs/concepts.md",
)
_SCHEMA = "workflow.schema.json"


def _list_examples(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    """Print the examples and end, before DIR is asked for."""
    if not asked:
        return
    from runner.package_data import shipped_examples
    from runner.render.tables import table, width_of
    from runner.spec.source.reader import read

    rows = [[name, read(path).data.get("description", "")] for name, path in shipped_examples().items()]
    write("\n".join(table([["EXAMPLE", "WHAT IT DOES"], *rows], width_of(sys.stdout))) + "\n")
    context.exit()


@click.command(epilog=EXAMPLES)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The workflow's name; by default the name of DIR.")
@click.option(
    "--example",
    metavar="EXAMPLE",
    help="Copy an example that ships with mprun, or a folder of them, instead.",
)
@click.option(
    "--examples",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_examples,
    help="List the examples, and exit.",
)
def command(directory: Path, name: str | None, example: str | None) -> int:
    """Write a workflow, its handlers and a test into DIR, ready to run and to be changed.

    DIR is made if it does not exist. Nothing is ever overwritten.
    """
    if example is not None and name is not None:
        raise UsageError("--name is for a workflow of your own; an example has its name already")
    chosen = name if name is not None else directory.resolve().name
    # A folder's name may hold bytes that are no text; a file in UTF-8 may not.
    files = (
        starter_files(chosen.encode(errors="replace").decode()) if example is None else example_files(example)
    )
    _refuse_to_overwrite(directory, files)
    _write(directory, files)
    _say_what_next(directory, files)
    return 0


def example_files(name: str) -> dict[str, str]:
    """
    Return an example, or all those of a folder, with their handlers and the schema: text by file name.

    Raises:
        UsageError: there is no such example.
    """
    from runner.package_data import shipped_examples
    from runner.spec.suggestions import did_you_mean

    known = shipped_examples()
    chosen = [each for each in known if each == name or each.startswith(f"{name}/")]
    if not chosen:
        raise UsageError(f"there is no example '{name}'; {did_you_mean(name, known)}")
    files: dict[str, str] = {}
    for each in chosen:
        files |= _with_handlers(known[each])
    return {**files, _SCHEMA: _schema_text()}


def _with_handlers(workflow: Path) -> dict[str, str]:
    """Return a workflow and the files beside it that it names; its schema is beside it too from now on."""
    from runner.spec.source.reader import read

    data = read(workflow).data
    stages = data.get("stages", {})
    runs = [stage["run"] for stage in stages.values() if "run" in stage]
    targets = [target for run in runs if (target := _target_of(run)) is not None]
    modules = sorted({target.partition(":")[0].partition(".")[0] for target in targets})
    named = [*(f"{module}.py" for module in modules), *_dotenv_files(data.get("jobs", {}))]
    beside = [path for path in map(workflow.with_name, named) if path.is_file()]
    text = re.sub(
        rf"\$schema=[./]*/schemas/{_SCHEMA}", f"$schema={_SCHEMA}", workflow.read_text(encoding="utf-8")
    )
    return {workflow.name: text, **{path.name: path.read_text(encoding="utf-8") for path in beside}}


def _dotenv_files(jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    listed = (job.get("dotenv", ()) for job in jobs.values())
    return [name for names in listed for name in ([names] if isinstance(names, str) else names)]


def _target_of(run: str | Mapping[str, Any]) -> str | None:
    """Return the `module:callable` of a stage, also where a kind such as `serve` calls it."""
    from runner.handlers.registry import find_kind

    if isinstance(run, str):
        return run
    [(kind, options)] = run.items()
    calls = find_kind(kind).calls
    return None if calls is None else str(options[calls.option])


def starter_files(name: str) -> dict[str, str]:
    """Return what `new` writes: text by file name."""
    module = module_name(name)
    # JSON's quoted text is YAML's too, so any name is safe.
    marks = {"@name@": json.dumps(name, ensure_ascii=False), "@module@": module}
    return {
        "workflow.yaml": _filled("workflow.yaml.template", marks),
        f"{module}.py": _filled("handlers.py.template", marks),
        f"test_{module}.py": _filled("test_workflow.py.template", marks),
        _SCHEMA: _schema_text(),
    }


def _schema_text() -> str:
    from runner.package_data import shipped

    return shipped(f"schemas/{_SCHEMA}").read_text(encoding="utf-8")


def module_name(name: str) -> str:
    """
    Turn a name into that of a module: an identifier that hides no module which is there already.

    Raises:
        UsageError: the name has no letter or digit.
    """
    # Python itself reads identifiers in this normal form.
    normal = unicodedata.normalize("NFKC", name.lower())
    kept = "".join(char if f"_{char}".isidentifier() else " " for char in normal)
    words = "_".join(kept.replace("_", " ").split())[:_LONGEST_MODULE]
    if not words:
        raise UsageError(f"no module can be named after '{name}'; give a name with letters: --name hello")
    if not words.isidentifier():
        words = f"flow_{words}"
    return f"{words}_flow" if _is_taken(words) else words


def _is_taken(module: str) -> bool:
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(module)
    # A folder without code, such as DIR itself, is found too, but hides nothing.
    return spec is not None and spec.origin is not None


def _filled(template: str, marks: Mapping[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def _refuse_to_overwrite(directory: Path, files: Mapping[str, str]) -> None:
    there = [str(directory / file) for file in files if (directory / file).exists()]
    if there:
        raise UsageError(f"nothing was written, for this is there already: {', '.join(there)}")


def _write(directory: Path, files: Mapping[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            # "x": a file that has appeared since we looked is not overwritten either.
            with (directory / file).open("x", encoding="utf-8") as out:
                out.write(text)
    except OSError as error:
        raise UsageError(f"'{error.filename}' can't be written: {error.strerror}") from error


def _say_what_next(directory: Path, files: Mapping[str, str]) -> None:
    for file in files:
        print_message(f"wrote {directory / file}")
    workflow = next(directory / file for file in files if file.endswith(".yaml"))
    tested = any(file.startswith("test_") for file in files)
    print_message("\nRun it, then test it:" if tested else "\nRun it:")
    print_message(f"  mprun {shlex.quote(str(workflow))}")
    if tested:
        install = "" if PathFinder.find_spec("pytest") else "python -m pip install pytest && "
        print_message(f"  {install}python -m pytest {shlex.quote(str(directory))}")
