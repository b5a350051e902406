"""What tox reads, tox.ini or TOML, never run: each environment is a job with an environment of its own.

envlist = py{311,312}, lint         py311, py312, lint run by default; others where they are named
deps, extras, package               a step of pip
commands = pytest {posargs:tests}   a step; `-` before it: it may fail
{envdir}, {env:X:y}, {[testenv]deps}    filled in; what is not known is left
"""

from __future__ import annotations

import configparser
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.python_environments import environment_script, with_arguments
from runner.spec.source.positions import Text
from runner.text import clip

_BASE = "testenv"
_PYTHON = re.compile(r"(?:^|-)(?:py|python|pypy-?)(\d)\.?(\d+t?)(?=-|$)")
_BRACES = re.compile(r"\{([^{}]*)\}")
_REFERENCE = re.compile(r"\{\[([^\]]+)\]([^{}]+)\}")
_FACTORS = re.compile(r"^([!\w.,{}-]+)\s*:(?:\s+(.*))?$")
_FIXED: Mapping[str, str] = {
    "toxinidir": "$PWD",
    "tox_root": "$PWD",
    "envpython": "python",
    "envbindir": '$(dirname "$(command -v python)")',
    "env_bin_dir": '$(dirname "$(command -v python)")',
    "envtmpdir": "$PWD/.mprun/tmp",
    "env_tmp_dir": "$PWD/.mprun/tmp",
    "toxworkdir": "$PWD/.mprun",
    "work_dir": "$PWD/.mprun",
    "pathsep": ":",
    ":": ":",
    "/": "/",
}
_DROPPED = {
    **dict.fromkeys(("passenv", "pass_env"), "jobs have the variables of who starts them"),
    **dict.fromkeys(("allowlist_externals", "whitelist_externals"), "any program may be run"),
    **dict.fromkeys(
        ("package", "wheel_build_env", "isolated_build", "parallel_show_output", "usedevelop"),
        "pip installs the project",
    ),
    **dict.fromkeys(
        ("download", "recreate", "sitepackages", "pip_pre", "skipsdist", "runner", "uv_seed"),
        "environments are made by venv, anew in each run",
    ),
    **dict.fromkeys(
        ("platform", "suicide_timeout", "interrupt_timeout", "terminate_timeout", "labels"),
        "it runs where it is named",
    ),
}
_SHELL_SPECIAL = re.compile(r"[*?$;<>|&()`~#\[\]!]")
_MOST_NAMES = 200


def read_tox(text: Text, path: Path) -> ImportedFile:
    """Return what a file of tox comes to. Raises SpecError where it can't be read as what its name says."""
    sections = _of_toml(text, path) if path.suffix == ".toml" else _of_ini(text)
    return _Reading(text, sections).read()


Sections = dict[str, dict[str, Any]]


def _of_ini(text: Text) -> Sections:
    parser = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=("#",), inline_comment_prefixes=(" #",)
    )
    parser.optionxform = str.lower  # type: ignore[method-assign, assignment]
    try:
        parser.read_string(text.text, text.file)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or (getattr(error, "errors", None) or [(1, "")])[0][0]
        start = sum(len(each) for each in text.text.splitlines(keepends=True)[: max(line - 1, 0)])
        message = "this can't be read as an INI file: a line is `[section]`, or `key = value`"
        raise SpecError([text.location(start, start + 1).diagnostic("not-ini", message)]) from None
    found = {name: dict(parser[name]) for name in parser.sections()}
    return {name.removeprefix("tox:") if name != "tox:tox" else "tox": keys for name, keys in found.items()}


def _of_toml(text: Text, path: Path) -> Sections:
    try:
        data = tomllib.loads(text.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        lines = text.text.splitlines(keepends=True)[: int(found[1]) - 1 if found else 0]
        start = sum(map(len, lines))
        raise SpecError(
            [text.location(start, start + 1).diagnostic("not-toml", f"this is no TOML: {error}")]
        ) from None
    tool = data.get("tool")
    about = (tool.get("tox") if isinstance(tool, dict) else None) if path.name != "tox.toml" else data
    if not isinstance(about, dict):
        return {}
    if isinstance(about.get("legacy_tox_ini"), str):
        return _of_ini(Text(text.file, about["legacy_tox_ini"]))
    base = about.get("env_run_base")
    sections: Sections = {"tox": about, _BASE: base if isinstance(base, dict) else {}}
    environments = about.get("env")
    for name, keys in environments.items() if isinstance(environments, dict) else ():
        if isinstance(keys, dict):
            sections[f"{_BASE}:{name}"] = keys
    return sections


class _Unknown(Exception):
    """A substitution that nobody can fill in here."""


class _Reading:
    def __init__(self, text: Text, sections: Sections) -> None:
        self._text = text
        self._sections = sections
        self.imported = ImportedFile("tox", text.file)

    def read(self) -> ImportedFile:
        """Read all environments."""
        tox = self._sections.get("tox", {})
        listed = next((tox[key] for key in ("env_list", "envlist") if key in tox), None)
        default = [*itertools.islice(_names(listed), _MOST_NAMES)]
        if listed is not None:
            self._note(self._line("tox", "env"), Outcome.TRANSLATED, "envlist", "default")
        others = [
            name
            for section in self._sections
            if section.startswith(f"{_BASE}:")
            for name in _expanded(section.removeprefix(f"{_BASE}:"))
        ]
        names = [*dict.fromkeys([*default, *(name for name in others if name not in default)])]
        if not names and _BASE in self._sections and self._sections[_BASE]:
            names = ["py"]
        for name in names[:_MOST_NAMES]:
            job = self.imported.add(name, self._line(self._section(name), ""))
            _Environment(self, job, name).read()
            if default and name not in default:
                job.keys = {"manual": True, **job.keys}
        if default:
            self.imported.keys["default"] = [name for name in default if name in self.imported.jobs]
        return self.imported

    def _note(self, line: int, outcome: Outcome, source: str, said: str = "") -> None:
        self.imported.notes.append(Note(line, outcome, source, said))

    def _section(self, name: str) -> str:
        """Return the section of an environment: its own, one with its name among others, or that of all."""
        for section in self._sections:
            if section.startswith(f"{_BASE}:") and name in _expanded(section.removeprefix(f"{_BASE}:")):
                return section
        return _BASE

    def keys(self, name: str) -> dict[str, Any]:
        """Return the keys of an environment over those of all."""
        return {**self._sections.get(_BASE, {}), **self._sections.get(self._section(name), {})}

    def line(self, name: str, key: str) -> int:
        """Return the line of a key of an environment, or of its section."""
        section = self._section(name)
        return self._line(section if key in self._sections.get(section, {}) else _BASE, key)

    def _line(self, section: str, key: str) -> int:
        lines = self._text.text.splitlines()
        inner = section.removeprefix(f"{_BASE}:") if section != _BASE else "env_run_base"
        heads = (
            f"[{section}]",
            f"[tox:{section}]",
            f"[tool.tox.env.{inner}]",
            f"[env.{inner}]",
            f"[tool.tox.{inner}]",
            f"[{inner}]",
            "[tool.tox]",
        )
        begun = next((n for n, line in enumerate(lines) if line.strip() in heads), 0)
        for number, line in enumerate(lines[begun + 1 :], start=begun + 2):
            if line.startswith("[") or not key:
                break
            if re.match(rf"{re.escape(key)}\w*\s*=", line):
                return number
        return begun + 1

    def referred(self, section: str, key: str) -> str:
        """Return what `{[section]key}` stands for. Raises _Unknown."""
        keys = self._sections.get(section, {})
        found = keys.get(key.strip().lower(), keys.get(key.strip()))
        if not isinstance(found, str):
            raise _Unknown(f"{{[{section}]{key}}}")
        return found


class _Environment:
    def __init__(self, reading: _Reading, job: ImportedJob, name: str) -> None:
        self._reading = reading
        self._job = job
        self._name = name
        self._keys = reading.keys(name)
        self._factors = set(name.split("-"))
        self._usual: list[str] = []

    def read(self) -> None:
        """Read an environment."""
        job, keys = self._job, self._keys
        job.notes.append(Note(job.line, Outcome.TRANSLATED, f"environment {self._name}", "a job"))
        if isinstance(keys.get("description"), str):
            job.keys["description"] = " ".join(keys["description"].split())
        self._variables(next((keys[key] for key in ("set_env", "setenv") if key in keys), None))
        folder = next((keys[key] for key in ("change_dir", "changedir") if key in keys), None)
        if isinstance(folder, str):
            self._folder(folder)
        script = environment_script(job, self._python(), job.line)
        job.steps.append(ImportedStep(job.line, {"name": "environment", "run": script}))
        self._install()
        ignored = str(next((keys[key] for key in ("ignore_outcome",) if key in keys), "")).lower() == "true"
        if ignored:
            job.keys["continue-on-error"] = True
        for key in ("commands_pre", "commands", "commands_post"):
            for command in self._commands(keys.get(key)):
                self._command(key, command)
        for key, why in _DROPPED.items():
            if key in keys:
                job.notes.append(Note(self._reading.line(self._name, key), Outcome.DROPPED, key, why))

    def _python(self) -> str:
        base = next((self._keys[key] for key in ("base_python", "basepython") if key in self._keys), "")
        base = base[0] if isinstance(base, list) and base else base
        found = _PYTHON.search(self._name)
        if found is not None:
            return f"{'pypy' if 'pypy' in found[0] else ''}{found[1]}.{found[2]}"
        named = re.fullmatch(r"\d\.\d+t?", self._name)
        try:
            return named[0] if named else " ".join(self._lines(base)[:1])
        except _Unknown:
            return ""

    def _variables(self, written: Any) -> None:
        pairs = written.items() if isinstance(written, dict) else []
        try:
            pairs = pairs or [line.partition("=")[::2] for line in self._lines(written) if "=" in line]
        except _Unknown as unknown:
            self._left("setenv", f"set these: {unknown}")
        for name, value in pairs:
            try:
                filled = self._filled(str(value).strip(), for_shell=False)
            except _Unknown as unknown:
                self._left("setenv", f"set {str(name).strip()}: {unknown} is not known here")
                continue
            self._job.keys.setdefault("env", {})[str(name).strip()] = filled
            line = self._reading.line(self._name, "set")
            self._job.notes.append(Note(line, Outcome.KEPT, f"{str(name).strip()}={value}"))

    def _folder(self, folder: str) -> None:
        try:
            self._job.keys["working-directory"] = (
                self._filled(folder, for_shell=False).removeprefix("${{ github.workspace }}/") or "."
            )
        except _Unknown as unknown:
            self._left("changedir", f"{unknown} is not known here")

    def _left(self, key: str, what: str) -> None:
        self._job.notes.append(Note(self._reading.line(self._name, key), Outcome.LEFT, key, what))

    def _install(self) -> None:
        deps: list[str] = []
        try:
            deps = self._lines(self._keys.get("deps"))
        except _Unknown as unknown:
            self._left("deps", f"install what {unknown} is")
        extras = self._extras(self._keys.get("extras"))
        groups = self._extras(self._keys.get("dependency_groups"))
        words = [word for dep in deps for word in _dep_words(dep)]
        words += [word for group in groups for word in ("--group", group)]
        skip = any(str(self._keys.get(key, "")).lower() == "true" for key in ("skip_install", "no_package"))
        package = str(self._keys.get("package", ""))
        if not skip and package != "skip":
            editable = (
                package.startswith("editable") or str(self._keys.get("usedevelop", "")).lower() == "true"
            )
            words += [*(["-e"] if editable else []), f".[{','.join(extras)}]" if extras else "."]
        if words:
            run = "python -m pip install " + " ".join(map(_quoted, words))
            note = Note(self._reading.line(self._name, "deps"), Outcome.TRANSLATED, "deps", "a step of pip")
            keys = {"name": "install", "run": run}
            self._job.steps.append(ImportedStep(self._job.line, keys, [note]))

    def _extras(self, written: Any) -> list[str]:
        try:
            return [word for line in self._lines(written) for word in re.split(r"[,\s]+", line) if word]
        except _Unknown:
            return []

    def _lines(self, written: Any) -> list[str]:
        """Return the lines of a value that hold for this environment, with references to other sections filled in."""
        if isinstance(written, list):
            return [line for each in written for line in (self._lines(each) if isinstance(each, str) else [])]
        if not isinstance(written, str):
            return []
        for _ in range(10):
            if _REFERENCE.search(written) is None:
                break
            written = _REFERENCE.sub(lambda found: self._reading.referred(found[1], found[2]), written)
        found: list[str] = []
        for line in _joined(written):
            factors = _FACTORS.match(line)
            if factors is not None and not line.startswith("-") and "/" not in factors[1]:
                if not self._fits(factors[1]):
                    continue
                found.append((factors[2] or "").strip())
            else:
                found.append(line.strip())
        return [line for line in found if line]

    def _fits(self, condition: str) -> bool:
        """Say whether this environment has the factors of a condition such as `py311,py312-django`."""
        for each in _expanded(condition):
            wanted = [part for part in each.split("-") if part]
            if all(
                (part[1:] not in self._factors) if part.startswith("!") else part in self._factors
                for part in wanted
            ):
                return True
        return False

    def _commands(self, written: Any) -> Iterator[str | list[Any]]:
        if isinstance(written, list):
            yield from (each for each in written if isinstance(each, str | list))
            return
        try:
            yield from self._lines(written)
        except _Unknown as unknown:
            yield f"{{{unknown}}}"

    def _command(self, key: str, command: str | list[Any]) -> None:
        line = self._reading.line(self._name, key)
        shown = clip(command if isinstance(command, str) else " ".join(map(str, command)), 70)
        self._usual = []
        try:
            run, may_fail = self._of_words(command) if isinstance(command, list) else self._of_text(command)
        except (_Unknown, ValueError) as unknown:
            what = (
                f"write it without {unknown}"
                if isinstance(unknown, _Unknown)
                else f"it can't be read: {unknown}"
            )
            note = Note(line, Outcome.LEFT, shown, what)
            self._job.steps.append(
                ImportedStep(line, to_do(self._reading.imported.file, line, shown, what), [note])
            )
            return
        keys: dict[str, Any] = {"run": run, **({"continue-on-error": True} if may_fail else {})}
        note = Note(line, Outcome.KEPT if run == command else Outcome.TRANSLATED, shown, "a step")
        self._job.steps.append(ImportedStep(line, keys, [note]))

    def _of_text(self, command: str) -> tuple[str, bool]:
        may_fail = command.startswith(("-", "!"))
        bare = command.lstrip("-! ").strip()
        words = shlex.split(_protected(bare), comments=False)
        return self._script(bare, words), may_fail

    def _script(self, bare: str, words: list[str]) -> str:
        filled = [self._filled(word, for_shell=True) for word in words]
        has_arguments = any('"$@"' in word for word in filled)
        is_plain = not _SHELL_SPECIAL.search(bare) and filled == words
        line = bare if is_plain else " ".join(word if word == '"$@"' else _for_shell(word) for word in filled)
        return with_arguments(line, " ".join(self._usual)) if has_arguments else line

    def _of_words(self, command: list[Any]) -> tuple[str, bool]:
        """Return a command of TOML, a list of words with tables that stand for others."""
        words: list[str] = []
        for each in command:
            if isinstance(each, str):
                words.append(self._filled(each, for_shell=True))
            elif isinstance(each, dict) and each.get("replace") == "posargs":
                self._usual = [_for_shell(str(word)) for word in each.get("default", ())]
                words.append('"$@"')
            else:
                raise _Unknown(str(each))
        may_fail = words[:1] == ["-"]
        line = " ".join(word if word == '"$@"' else _for_shell(word) for word in words[may_fail:])
        return (with_arguments(line, " ".join(self._usual)) if '"$@"' in words else line), may_fail

    def _filled(self, text: str, *, for_shell: bool) -> str:
        """Return a text with its substitutions filled in. Raises _Unknown."""

        def replace(found: re.Match[str]) -> str:
            return self._substitution(found[1].replace(_COLON, ":"), for_shell)

        for _ in range(5):
            text, count = _BRACES.subn(replace, text)
            if not count:
                break
        return text.replace(_OPEN, "{").replace(_CLOSE, "}")

    def _substitution(self, inside: str, for_shell: bool) -> str:
        name, _, usual = inside.partition(":")
        if name == "posargs" and for_shell:
            self._usual = [usual.replace(_BLANK, " ").strip()] if usual else []
            return '"$@"'
        if name == "env":
            variable, _, default = usual.partition(":")
            default = default.replace(_BLANK, " ")
            return (
                f"${_OPEN}{variable}:-{default}{_CLOSE}"
                if for_shell
                else f"${_OPEN}{_OPEN} env.{variable} {_CLOSE}{_CLOSE}"
            )
        if name in ("envname", "env_name"):
            return self._name
        if inside in _FIXED or name in _FIXED:
            fixed = _FIXED.get(inside, _FIXED.get(name, ""))
            return (
                fixed
                if for_shell
                else fixed.replace("$PWD", f"${_OPEN}{_OPEN} github.workspace {_CLOSE}{_CLOSE}")
            )
        if name in ("envdir", "env_dir"):
            folder = f"$PWD/.mprun/venvs/{self._name}"
            return (
                folder
                if for_shell
                else folder.replace("$PWD", f"${_OPEN}{_OPEN} github.workspace {_CLOSE}{_CLOSE}")
            )
        raise _Unknown(f"{{{inside}}}")


_OPEN, _CLOSE, _BLANK, _COLON = "\ue000", "\ue001", "\ue002", "\ue003"
"""Stand for characters while something is filled in."""


def _protected(command: str) -> str:
    """Return a command in which what stands in braces is one word."""
    return re.sub(
        r"\{[^{}]*\}", lambda found: found[0].replace(" ", _BLANK).replace('"', "").replace("'", ""), command
    )


def _for_shell(word: str) -> str:
    """Return a word quoted for the shell, so that variables in it are filled in and it stays one word."""
    word = word.replace(_BLANK, " ")
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    if "$" not in word:
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("`", "\\`")
    return '"' + (escaped if "$(" in word else escaped.replace('"', '\\"')) + '"'


def _quoted(word: str) -> str:
    return f'"{word}"' if "${{" in word else shlex.quote(word)


def _dep_words(dep: str) -> list[str]:
    found = re.match(r"-(r|c|e)\s*(.+)$", dep)
    return (
        [f"-{found[1]}", found[2].replace("{toxinidir}/", "").replace("{tox_root}/", "")]
        if found
        else [dep.replace("{toxinidir}/", "")]
    )


def _joined(written: str) -> list[str]:
    return re.sub(r"\\\n\s*", "", written).splitlines()


def _names(listed: Any) -> Iterator[str]:
    if isinstance(listed, list):
        for each in listed:
            if isinstance(each, str):
                yield from _expanded(each)
    elif isinstance(listed, str):
        yield from _expanded(listed)


def _expanded(written: str) -> list[str]:
    """Return the names of a list in which `py{311,312}` stands for two."""
    found: list[str] = []
    for part in re.split(r"[\s,]+(?![^{}]*\})", written.strip()):
        pieces = re.split(r"\{([^{}]*)\}", part)
        choices = [piece.split(",") if number % 2 else [piece] for number, piece in enumerate(pieces)]
        for picked in itertools.islice(itertools.product(*choices), _MOST_NAMES):
            name = "".join(each.strip() for each in picked).strip("-")
            if name:
                found.append(name)
    return found
