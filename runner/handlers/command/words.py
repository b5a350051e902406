"""From a command of the file to the words of a program: one list for each call, with the item filled in.

    [sha256sum, "${{ item }}"]        a list        sha256sum, a.txt
    sha256sum ${{ item }}             simple        the same: it uses nothing of a shell
    wc -l < ${{ item }} | tr -d ' '   a script      bash, -o, pipefail, -c, wc -l < "${1}" | tr -d ' ', sh, a.txt

No value ever becomes part of a script, where a quote or a `;` in it would be obeyed. Each reference becomes a parameter
of the shell's own, quoted to suit its place, and the value is an argument. Of a batch, a word with the item in it is
there once for each item: in a list by repeating it, in a script as `"${@}"`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from runner.handlers.command.options import CommandOptions, Shell, read_options
from runner.handlers.sinks.forms import item_text
from runner.spec.references import (
    ITEM,
    as_template,
    compile_template,
    fill_text,
    references,
)
from runner.spec.shell_quoting import as_script
from runner.text import late_pattern

Words = list[str]
OfItem = Callable[[object], Words]
"""Makes the words of one call from an item, or from the list of a batch."""

_HOLDER = "\ue000"
"""Stands for a reference while a text is split; a private character, which no text has a use for."""
_PLAIN = rf"[\w./:=@%+,\-{_HOLDER}]"
_SIMPLE_WORD = rf"""(?:{_PLAIN}|"[^"$`\\!\n]*"|'[^'\n]*')+"""
_SIMPLE = late_pattern(rf"\s*({_SIMPLE_WORD})(?:[ \t]+{_SIMPLE_WORD})*\s*")
_BUILTINS = """
    . : [ alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs
    disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash help
    history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select set
    shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset until wait while
"""
"""What a shell does itself. Some are programs too, which need not do quite the same."""
_OF_SHELLS = ("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT")
"""Variables by which a shell reads a text otherwise."""


def word_builder(options: CommandOptions, known: Mapping[str, str], *, batch: bool) -> OfItem:
    """
    Return what makes the words of a call. `known` has what references in a script stand for, by expression.

    Raises:
        ValueError: it can't be, as the check of the file has said.
    """
    if not isinstance(options.run, str):
        return _of_list(list(options.run), batch=batch)
    if is_split(options):
        return _of_list([_known_filled(word, known) for word in split(options.run)], batch=batch)
    shell = shell_words(options.shell)
    return _of_script_batch(shell, options.run, known) if batch else _of_script(shell, options.run, known)


def runs_as(written: Any) -> str:
    """Return what the command with these options is run by, for people: `bash -o pipefail`, `without a shell`."""
    options = read_options(written)
    by = "without a shell" if is_split(options) else " ".join(shell_words(options.shell)[:-1])
    return f"{by}, started once a worker" if options.filter else by


def shell_words(shell: Shell | None) -> list[str]:
    """Return what runs a script: where there is bash, a pipe fails if any command of it does."""
    if shell is Shell.BASH or (shell is None and _found("bash")):
        return ["bash", "-o", "pipefail", "-c"]
    return ["/bin/sh", "-c"]


def is_split(options: CommandOptions) -> bool:
    """Say whether a text is split into words by us, without a shell."""
    if options.shell is Shell.NONE or not isinstance(options.run, str):
        return True
    return _is_simple(options.run) and not _shell_is_changed()


def _is_simple(text: str) -> bool:
    """
    Say whether a text is one program and its arguments, so that a shell would do no more than start it.

    Only where the program is found: else the shell has the word for what is wrong.
    """
    found = _SIMPLE.fullmatch(_held(text)[0])
    program = shlex.split(found[1])[0] if found and found[1].strip("\"'") else ""
    is_program = program not in _BUILTINS.split() and "=" not in program and _HOLDER not in program
    return bool(program) and is_program and _found(program)


@cache
def _shell_is_changed() -> bool:
    return any(name in _OF_SHELLS or name.startswith("BASH_FUNC_") for name in os.environ)


def split(text: str) -> list[str]:
    """Return the words of a text, with the references in them. Raises ValueError for a quote that is not closed."""
    held, found = _held(text)
    left = iter(found)
    return [
        "".join(
            next(left) if part == _HOLDER else as_template(part) for part in re.split(f"({_HOLDER})", word)
        )
        for word in shlex.split(held)
    ]


def _held(text: str) -> tuple[str, list[str]]:
    found: list[str] = []

    def hold(raw: str) -> str:
        found.append(raw)
        return _HOLDER

    return fill_text(text.replace(_HOLDER, " "), lambda reference: hold(reference.raw)), found


def _known_filled(word: str, known: Mapping[str, str]) -> str:
    """Return a word as a template of the item alone."""
    done, parts = 0, []
    for reference in references(word):
        value = known.get(reference.expression)
        parts += [word[done : reference.at], reference.raw if value is None else as_template(value)]
        done = reference.at + len(reference.raw)
    return "".join([*parts, word[done:]])


def has_item(template: object) -> bool:
    """Say whether a template refers to the item."""
    return isinstance(template, str) and any(each.names[0] == ITEM for each in references(template))


def _of_list(parts: Sequence[object], *, batch: bool) -> OfItem:
    filled = [compile_template(part) for part in parts]
    if not batch:
        return lambda item: [argument(fill(item)) for fill in filled]
    each = [(fill, has_item(part)) for fill, part in zip(filled, parts, strict=True)]

    def words(items: object) -> Words:
        assert isinstance(items, list)
        return [argument(fill(item)) for fill, repeated in each for item in (items if repeated else [None])]

    return words


def _of_script(shell: Words, line: str, known: Mapping[str, str]) -> OfItem:
    script, found = as_script(line, str)
    values = [_value(raw, known) for raw in found]
    start = [*shell, script, "sh"]
    return lambda item: [*start, *(argument(value(item)) for value in values)]


def _of_script_batch(shell: Words, line: str, known: Mapping[str, str]) -> OfItem:
    """The items are all the parameters of the shell; what else the script refers to is in variables of it."""
    names = ["@" if has_item(raw) else "" for raw in as_script(line, str)[1]]
    names = [name or f"mprun_value_{number}" for number, name in enumerate(names, start=1)]
    script, found = as_script(line, lambda number: names[number - 1])
    others = [(name, _value(raw, known)) for name, raw in zip(names, found, strict=True) if name != "@"]
    item = next((compile_template(raw) for raw in found if has_item(raw)), None)
    if others:
        set_them = " ".join(f"{name}=${{{number}}}" for number, (name, _) in enumerate(others, start=1))
        script = f"{set_them}; shift {len(others)}; {script}"
    start = [*shell, script, "sh", *(argument(value(None)) for _, value in others)]

    def words(items: object) -> Words:
        assert isinstance(items, list)
        return start if item is None else [*start, *(argument(item(each)) for each in items)]

    return words


def _value(raw: str, known: Mapping[str, str]) -> Callable[[object], object]:
    value = known.get(next(references(raw)).expression)
    return compile_template(raw if value is None else as_template(value))


def argument(value: object) -> str:
    """Return a value as an argument, or as the text that a program reads. Raises `FormError` for what has no form."""
    if isinstance(value, str):
        return value
    return os.fsdecode(value) if isinstance(value, bytes) else item_text(value)


def _found(program: str) -> bool:
    import shutil  # which imports what unpacks archives, and takes as long as all of this

    return shutil.which(program) is not None
