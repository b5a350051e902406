"""Hold the published schema to what validators and an editor's language server make of it.

    pip install check-jsonschema jsonschema-rs; npm install ajv@8 yaml-language-server@1     in some folder
    python .ci/editors/check.py FOLDER                                                       from the top of a checkout

Every workflow of the checkout is given to jsonschema, jsonschema-rs, check-jsonschema, ajv and yaml-language-server,
which must agree; what the server proposes while one types is put in, and must be taken.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs

from runner.errors import SpecError
from runner.spec.source.reader import read

HERE = Path(__file__).parent
SCHEMA = Path("schemas/workflow.schema.json").resolve()
WRONG = {
    "count": "name: x\nstages: {a: {run: 'h:f', count: '3'}}\n",
    "two kinds": "name: x\nstages: {a: {run: {lines: {path: a}, command: b}}}\n",
    "a slip": "name: x\nstages: {a: {run: 'h:f', fron: q}}\n",
    "half a reference": "name: x\njobs: {a: {run: x, attempts: '${{ params.n'}}\n",
    "no time": "name: x\nlimits: {timeout: ten}\n",
    "neither": "name: x\n",
}
_BLANKS = re.compile(r"\$\{\d+:?([^}]*)\}|\$\d+")
"""Where the person is to type, with what is proposed there."""
TYPED = {  # where one is while typing, `|` is the cursor: what must be among what is proposed
    "name: x\nstages:\n  a:\n    run:\n      |\n": "command",
    "name: x\nstages:\n  a:\n    run: 'h:f'\n    restart: |\n": "always",
    "name: x\nstages:\n  a:\n    run: 'h:f'\n    |\n": "retry",
    "name: x\nstages:\n  a:\n    run: 'h:f'\n|\n": "limits",
    "name: x\njobs:\n  a:\n    run: x\n    |\n": "attempts",
    "name: x\njobs:\n  a:\n    run: x\n    strategy:\n      |\n": "max-parallel",
    "name: x\njobs:\n  a:\n    run: x\n    services:\n      s:\n        run: x\n        ready:\n"
    "          port: 1\n          |\n": "host",
}


def main(folder: str) -> int:
    """Print what disagrees; return 1 if anything does."""
    texts = {
        str(path): path.read_text(encoding="utf-8") for path in sorted(Path("workflows").rglob("*.yaml"))
    }
    conformance = sorted(Path("tests/conformance/jobs").glob("*.yaml"))
    texts |= {str(path): path.read_text(encoding="utf-8") for path in conformance} | WRONG
    data = {name: found for name, text in texts.items() if (found := _read(text)) is not None}
    verdicts = {
        "jsonschema": _python(data),
        "jsonschema-rs": _rust(data),
        "check-jsonschema": _command(data),
        "ajv": _strict(data, folder),
        "yaml-language-server": _server({name: texts[name] for name in data}, folder),
    }
    faults = [
        f"{name}: {', '.join(f'{by} {said[name]}' for by, said in verdicts.items())}"
        for name in data
        if len({said[name] for said in verdicts.values()}) != 1
    ]
    faults += [f"{name}: taken by all" for name in WRONG if verdicts["jsonschema"][name]]
    faults += _completions(folder)
    print("\n".join(faults) or f"{len(data)} files, {len(TYPED)} places: all agree")
    return 1 if faults else 0


def _read(text: str) -> Any:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            found = read(Path(file.name))
        except SpecError:
            return None
    return None if found.traps else found.data


def _python(data: dict[str, Any]) -> dict[str, bool]:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return {name: validator.is_valid(each) for name, each in data.items()}


def _rust(data: dict[str, Any]) -> dict[str, bool]:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return {name: validator.is_valid(each) for name, each in data.items()}


def _command(data: dict[str, Any]) -> dict[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{number}.json") for number, name in enumerate(data)}
        for name, file in files.items():
            file.write_text(json.dumps(data[name]), encoding="utf-8")
        argv = ["check-jsonschema", "--output-format", "json", "--schemafile", SCHEMA, *files.values()]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        refused = {each["filename"] for each in json.loads(done.stdout).get("errors", ())}
        return {name: str(file) not in refused for name, file in files.items()}


def _strict(data: dict[str, Any], folder: str) -> dict[str, bool]:
    faults = _node("strict.mjs", list(data.values()), folder)
    return {name: fault is None for name, fault in zip(data, faults, strict=True)}


def _server(texts: dict[Any, str], folder: str) -> dict[Any, bool]:
    bare = [re.sub(r"# yaml-language-server:.*", "#", text) for text in texts.values()]
    answers = _node("server.mjs", [{"text": text} for text in bare], folder)
    return {name: not problems for name, problems in zip(texts, answers, strict=True)}


def _completions(folder: str) -> list[str]:
    """Put in what is proposed at each place, and say what is missing or not taken afterwards."""
    asked = []
    for typed in TYPED:
        before = typed[: typed.index("|")]
        line = before.count("\n")
        asked.append(
            {"text": typed.replace("|", ""), "complete": [line, len(before) - before.rfind("\n") - 1]}
        )
    faults, filled = [], {}
    for (typed, wanted), items in zip(TYPED.items(), _node("server.mjs", asked, folder), strict=True):
        proposed = {item["label"]: item.get("insertText", item["label"]) for item in items}
        if wanted not in proposed or "[object Object]" in proposed:
            faults.append(f"{typed!r}: proposed are {sorted(proposed)}")
        # A blank that is left is for the person to fill; what the server itself writes has to be right.
        filled |= {
            (f"{typed!r} + {label}", typing): _put_in(typed, _filled(text, typing))
            for label, text in proposed.items()
            for typing in ("h:f", "1")
            if not re.search(r"-\s*$|:\s*\Z", _filled(text, typing), re.MULTILINE)
        }
    taken = _server(filled, folder)
    names = dict.fromkeys(name for name, _ in taken)
    return faults + [
        f"{name} is not taken" for name in names if not any(taken[name, typing] for typing in ("h:f", "1"))
    ]


def _filled(proposed: str, typing: str) -> str:
    return _BLANKS.sub(lambda blank: blank[1] or typing, proposed)


def _put_in(typed: str, text: str) -> str:
    before, after = typed.split("|")
    indent = " " * (len(before) - before.rfind("\n") - 1)
    return before + text.rstrip().replace("\n", f"\n{indent}") + after


def _node(program: str, requests: list[Any], folder: str) -> Any:
    argv = ["node", str((HERE / program).resolve()), str(SCHEMA)]
    done = subprocess.run(
        argv, cwd=folder, input=json.dumps(requests), capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
