"""A noxfile, read by its syntax tree and never run: each session is a job with an environment of its own.

@nox.session(python=["3.11", "3.12"])       tests: {strategy: {matrix: {python: ["3.11", "3.12"]}}, steps: …}
session.install("-e", ".")                  python -m pip install -e .
session.run("pytest", *session.posargs)     pytest "$@", with what stands behind `--`
if …, for …, session.notify(…)              left, unless it can be seen what they come to
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.python_environments import environment_script, with_arguments
from runner.spec.source.positions import Text
from runner.text import clip

_POSARGS = object()
"""Stands for the words behind `--`."""
_RUNS = ("run", "run_always", "run_install")
_SAYS = ("log", "warn", "debug")
_DEEPEST = 6
_LONGEST = 70
_MOST_LINES = 60


class _Unknown(Exception):
    """Its value can't be seen without running it."""


def read_noxfile(text: Text, path: Path) -> ImportedFile:  # noqa: ARG001 - as all readers
    """Return what a noxfile comes to. Raises SpecError where it is no Python."""
    try:
        tree = ast.parse(text.text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        start = sum(len(each) for each in text.text.splitlines(keepends=True)[: line - 1])
        message = f"this is no Python: {getattr(error, 'msg', None) or error}"
        raise SpecError([text.location(start, start + 1).diagnostic("not-python", message)]) from None
    return _File(tree, text).read()


class _File:
    def __init__(self, tree: ast.Module, text: Text) -> None:
        self.imported = ImportedFile("nox", text.file)
        self.lines = text.text.splitlines()
        self.constants: dict[str, Any] = {}
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self._tree = tree

    def read(self) -> ImportedFile:
        """Read all sessions, in their order."""
        chosen: list[str] | None = None
        for node in self._tree.body:
            match node:
                case ast.Assign(targets=[target], value=value) if (
                    ast.unparse(target) == "nox.options.sessions"
                ):
                    chosen = self._names(node.lineno, value)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    self._constant(name, value)
                case ast.Assign(targets=[ast.Attribute() as target]) if ast.unparse(target).startswith(
                    "nox."
                ):
                    said = "environments are made by venv, anew in each run"
                    self.imported.notes.append(Note(node.lineno, Outcome.DROPPED, ast.unparse(node), said))
                case ast.FunctionDef() if (session := _decorator(node)) is not None:
                    _Session(self, node, session).read()
                case _:
                    pass
        if chosen is not None:
            there = [name for name in chosen if name in self.imported.jobs]
            self.imported.keys["default"] = there
            for name, job in self.imported.jobs.items():
                if name not in there:
                    job.keys = {"manual": True, **job.keys}
        if not self.imported.keys.get("default", ["x"]):
            del self.imported.keys["default"]
        return self.imported

    def _names(self, line: int, value: ast.expr) -> list[str] | None:
        try:
            names = [str(each) for each in self.value(value, {})]
        except _Unknown:
            self.imported.notes.append(
                Note(line, Outcome.LEFT, "nox.options.sessions", "name them in `default`")
            )
            return None
        self.imported.notes.append(Note(line, Outcome.TRANSLATED, "nox.options.sessions", "default"))
        return names

    def _constant(self, name: str, value: ast.expr) -> None:
        try:
            self.constants[name] = self.value(value, {})
        except _Unknown:
            self.constants.pop(name, None)

    def value(self, node: ast.expr, local: dict[str, Any]) -> Any:
        """Return what an expression is, where that can be seen. Raises _Unknown."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
                return [each for one in elts for each in self._element(one, local)]
            case ast.Name(id=name):
                known = {**self.constants, **local}
                if name in known:
                    return known[name]
            case ast.JoinedStr(values=values):
                return "".join(str(self.value(each, local)) for each in values)
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self.value(value, local)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                one, other = self.value(left, local), self.value(right, local)
                if isinstance(one, str) and isinstance(other, str):
                    return one + other
                if isinstance(one, list) and isinstance(other, list):
                    return [*one, *other]
            case ast.Call(func=ast.Name(id="str" | "list" | "tuple"), args=[only], keywords=[]):
                return self.value(only, local)
            case ast.Call(func=called, args=[_, *groups]) if (
                ast.unparse(called) == "nox.project.dependency_groups"
            ):
                return [word for group in groups for word in ("--group", self.value(group, local))]
            case ast.Attribute(value=ast.Name(id="session"), attr="posargs"):
                return [_POSARGS]
            case ast.Attribute(value=ast.Name(id="session"), attr="python") if "session.python" in local:
                return local["session.python"]
            case ast.Attribute(value=ast.Name(id="session"), attr="name") if "session.name" in local:
                return local["session.name"]
            case ast.BoolOp(op=ast.Or(), values=[first, second]):
                if self.value(first, local) == [_POSARGS]:
                    usual = self.value(second, local)
                    return [(_POSARGS, [usual] if isinstance(usual, str) else usual)]
        raise _Unknown

    def _element(self, node: ast.expr, local: dict[str, Any]) -> list[Any]:
        if isinstance(node, ast.Starred):
            found = self.value(node.value, local)
            if isinstance(found, list):
                return found
            raise _Unknown
        return [self.value(node, local)]

    def words(self, args: list[ast.expr], local: dict[str, Any]) -> list[Any]:
        """Return the words of a call. Raises _Unknown."""
        return [each for one in args for each in self._element(one, local)]


def _decorator(node: ast.FunctionDef) -> list[ast.keyword] | None:
    """Return what is told to `nox.session`, where a function is one."""
    for each in node.decorator_list:
        called = each.func if isinstance(each, ast.Call) else each
        if ast.unparse(called) in ("nox.session", "session", "nox_poetry.session", "nox_uv.session"):
            return each.keywords if isinstance(each, ast.Call) else []
    return None


class _Session:
    def __init__(self, file: _File, node: ast.FunctionDef, keywords: list[ast.keyword]) -> None:
        self._file = file
        self._node = node
        self._keywords = {each.arg: each.value for each in keywords if each.arg}
        self._job = self._new_job()
        self._folder = ""
        self._local: dict[str, Any] = {"session.name": self._job.name}

    def _new_job(self) -> ImportedJob:
        name = self._node.name
        written = self._keywords.get("name")
        if isinstance(written, ast.Constant) and isinstance(written.value, str):
            name = written.value
        return self._file.imported.add(name, self._node.lineno)

    def read(self) -> None:
        """Read the session."""
        job = self._job
        described = ast.get_docstring(self._node)
        if described:
            job.keys["description"] = described.split("\n\n")[0].replace("\n", " ")
        version = self._matrix()
        if version is not None:
            script = environment_script(job, version, job.line)
            job.steps.append(ImportedStep(job.line, {"name": "environment", "run": script}))
        default = self._keywords.get("default")
        if isinstance(default, ast.Constant) and default.value is False:
            job.keys = {"manual": True, **job.keys}
        self._statements(self._node.body, self._local, 0)

    def _matrix(self) -> str | None:
        """Set up the legs; return the version of Python, or None where the session has no environment."""
        axes: dict[str, list[Any]] = {}
        version: str | None = ""
        python = self._keywords.get("python")
        try:
            found = self._file.value(python, {}) if python is not None else None
        except _Unknown:
            found = None
            self._note(
                self._node.lineno,
                Outcome.LEFT,
                "python=…",
                "say in `strategy.matrix` which ones; python3 is used",
            )
        if found is False:
            version = None
        elif isinstance(found, list) and found:
            axes["python"] = [str(each) for each in found]
            version = "${{ matrix.python }}"
        elif isinstance(found, str):
            version = found
        self._parametrized(axes)
        backend = self._keywords.get("venv_backend")
        if isinstance(backend, ast.Constant) and backend.value == "none":
            version = None
        if axes:
            self._job.keys["strategy"] = {"fail-fast": False, "matrix": axes}
        self._local["session.python"] = version or "python3"
        self._note(self._node.lineno, Outcome.TRANSLATED, f"session {self._job.name}", "a job")
        return version

    def _parametrized(self, axes: dict[str, list[Any]]) -> None:
        for each in reversed(self._node.decorator_list):
            if not (
                isinstance(each, ast.Call) and ast.unparse(each.func) in ("nox.parametrize", "parametrize")
            ):
                continue
            try:
                name, values = self._file.words(each.args[:2], {})
            except (_Unknown, ValueError):
                self._note(each.lineno, Outcome.LEFT, ast.unparse(each), "say it in `strategy.matrix`")
                continue
            simple = isinstance(values, list) and all(isinstance(v, str | int | float | bool) for v in values)
            if simple and isinstance(name, str) and "," not in name and values:
                axes[name] = values
                self._local[name] = "${{ matrix." + name + " }}"
                self._note(each.lineno, Outcome.TRANSLATED, ast.unparse(each), "a key of the matrix")
            else:
                self._note(each.lineno, Outcome.LEFT, ast.unparse(each), "say it in `strategy.matrix`")

    def _note(self, line: int, outcome: Outcome, source: str, said: str = "") -> None:
        self._job.notes.append(Note(line, outcome, _short(source), said))

    def _statements(self, body: list[ast.stmt], local: dict[str, Any], depth: int) -> None:
        for node in body:
            try:
                self._statement(node, local, depth)
            except (_Unknown, RecursionError):
                self._leave(node)

    def _statement(self, node: ast.stmt, local: dict[str, Any], depth: int) -> None:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass() | ast.Import() | ast.ImportFrom():
                return
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Name(id="session"), attr=name)) as call
            ):
                self._call(name, call, local)
            case ast.Expr(value=ast.Call(func=ast.Name(id=name)) as call) if name in self._file.functions:
                self._inline(self._file.functions[name], call, local, depth)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                local[name] = self._file.value(value, local)
            case ast.Assign(targets=[ast.Subscript(value=target, slice=key)], value=value) if (
                ast.unparse(target) == "session.env"
            ):
                value = self._file.value(value, local)
                self._job.keys.setdefault("env", {})[str(self._file.value(key, local))] = str(value)
                self._note(node.lineno, Outcome.TRANSLATED, ast.unparse(node), "env")
            case ast.With(
                items=[ast.withitem(context_expr=ast.Call(func=called, args=[folder]))], body=inner
            ) if ast.unparse(called) in ("session.chdir", "session.cd"):
                before, self._folder = self._folder, str(self._file.value(folder, local))
                self._statements(inner, local, depth)
                self._folder = before
            case ast.For(target=ast.Name(id=name), iter=over, body=inner, orelse=[]):
                values = self._file.value(over, local)
                if not isinstance(values, list) or any(not isinstance(value, str) for value in values):
                    raise _Unknown
                for value in values:
                    self._statements(inner, {**local, name: value}, depth)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                local[name] = self._file.value(value, local)
            case _:
                raise _Unknown

    def _inline(self, function: ast.FunctionDef, call: ast.Call, local: dict[str, Any], depth: int) -> None:
        """Put the statements of a helper where it is called."""
        names = [each.arg for each in function.args.args]
        if depth > _DEEPEST or not names or names[0] != "session" or len(call.args) > len(names):
            raise _Unknown
        given = {
            name: self._file.value(value, local)
            for name, value in zip(names[1:], call.args[1:], strict=False)
        }
        given |= {each.arg: self._file.value(each.value, local) for each in call.keywords if each.arg}
        missing = names[1:][len(call.args) - 1 :]
        usual = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
        given |= {
            name: self._file.value(usual[name], {}) for name in missing if name in usual and name not in given
        }
        about: dict[str, Any] = {
            key: local[key] for key in ("session.name", "session.python") if key in local
        }
        self._statements(function.body, {**about, **given}, depth + 1)

    def _call(self, name: str, call: ast.Call, local: dict[str, Any]) -> None:
        line = call.lineno
        if name in _SAYS:
            self._note(line, Outcome.DROPPED, ast.unparse(call), "it only says something")
        elif name in ("chdir", "cd"):
            self._folder = str(self._file.value(call.args[0], local)) if call.args else ""
            self._note(line, Outcome.TRANSLATED, ast.unparse(call), "working-directory")
        elif name == "install":
            self._step(call, ["python", "-m", "pip", "install", *self._file.words(call.args, local)], local)
        elif name in _RUNS:
            self._step(call, self._file.words(call.args, local), local)
        elif name == "error":
            self._step(call, ["false"], local)
        else:
            raise _Unknown

    def _step(self, call: ast.Call, words: list[Any], local: dict[str, Any]) -> None:
        keys: dict[str, Any] = {"run": _script(words)}
        for keyword in call.keywords:
            if keyword.arg == "env" and isinstance(keyword.value, ast.Dict):
                env = [
                    (self._file.value(key, local), self._file.value(value, local))
                    for key, value in _pairs(keyword.value)
                ]
                keys["env"] = {str(name): str(value) for name, value in env}
            elif keyword.arg == "success_codes" and 1 in self._file.value(keyword.value, local):
                keys["continue-on-error"] = True
        if self._folder:
            keys["working-directory"] = self._folder
        note = Note(call.lineno, Outcome.TRANSLATED, _short(ast.unparse(call)), "a step")
        self._job.steps.append(ImportedStep(call.lineno, keys, [note]))

    def _leave(self, node: ast.stmt) -> None:
        """Leave a statement; those that stand together are one step."""
        written = tuple(self._file.lines[node.lineno - 1 : node.end_lineno])
        last = self._job.steps[-1].notes[-1:] if self._job.steps else []
        if last and last[0].outcome is Outcome.LEFT:
            more = (*last[0].more, *written)[:_MOST_LINES]
            self._job.steps[-1].notes[-1] = replace(last[0], more=more)
            return
        source = _short(written[0].strip() if written else ast.unparse(node))
        what = "write as steps what this does"
        note = Note(node.lineno, Outcome.LEFT, source, what, written[:_MOST_LINES])
        keys = to_do(self._file.imported.file, node.lineno, source, what)
        self._job.steps.append(ImportedStep(node.lineno, keys, [note]))


def _pairs(node: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            raise _Unknown
        yield key, value


def _script(words: list[Any]) -> str:
    """Return the words as a command; those behind `--` on the command line, or the usual ones, as `"$@"`."""
    usual = [each[1] for each in words if isinstance(each, tuple)]
    has_arguments = bool(usual) or any(each is _POSARGS for each in words)
    line = " ".join(
        '"$@"' if each is _POSARGS or isinstance(each, tuple) else _quoted(str(each)) for each in words
    )
    if not has_arguments:
        return line
    if any(not isinstance(word, str) for word in (usual[0] if usual else ())):
        raise _Unknown
    return with_arguments(line, " ".join(map(_quoted, usual[0])) if usual else "")


def _quoted(word: str) -> str:
    return f'"{word}"' if "${{" in word else shlex.quote(word)


def _short(source: str) -> str:
    return clip(" ".join(source.split()), _LONGEST)
