"""`${{ … }}`: the one interpolation. Pure.

    before the run   interpolate(data, scopes)     params, env, secrets, matrix, needs     gives Diagnostics
    in a worker      compile_template(template)    item, item.a.b, stem(item.a)            raises LookupError

A scalar that is one reference becomes the value itself; inside longer text the value is put in as text.
Round the names may stand functions of `expressions.paths`.
`$${{` writes a literal `${{`. `$VAR` and `${VAR}` are none of ours: they are the shell's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any, NamedTuple

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, LocatedDiagnostic
from runner.spec.dotted_names import INDEX, NAME, STEP, follow, join_names, names_in, split_names
from runner.spec.expressions.paths import PATH_FUNCTIONS, apply_functions, no_function
from runner.spec.source.positions import SourceDocument
from runner.spec.suggestions import did_you_mean, near, which_one
from runner.text import late_pattern

ITEM = "item"
"""The root of references that are filled in a worker, once for each item."""
EARLY = frozenset({"github", "vars", "inputs", "runner"})
"""The contexts of GitHub that are known when a file with jobs is read."""
AT_RUN = frozenset({"needs", "secrets"})
"""The roots of references that are filled when a job starts."""
ARGS = "args"
"""What stands behind `--` on the command line: a list of words, for the commands of jobs."""
IN_JOBS = AT_RUN | {"matrix", "strategy", ARGS}
"""The roots that stay in a job's texts when the file is read."""

_OPENING = late_pattern(r"\$?\$\{\{")
_NAMES = re.compile(f"{NAME}(?:{STEP}|{INDEX})*")
_CALL = late_pattern(r"([^\W\d]\w*)\s*\(\s*(.*?)\s*\)", re.DOTALL)
_PIPED = late_pattern(rf"({_NAMES.pattern})\s*\|\s*(\w+)")
"""How other template languages write a function."""
_MOST_FUNCTIONS = 10
_SYNTAX_HELP = (
    "write names joined by dots, as ${{ params.x }} or ${{ params['a b'] }}; '$${{' writes a literal '${{'"
)


class TextReference(NamedTuple):
    """One `${{ a.b }}` in a text."""

    names: tuple[str, ...]
    start: int
    """Where the names start in the text."""
    raw: str
    """All of it, braces included."""
    at: int
    """Where the braces start in the text."""
    width: int
    """The characters of the names."""
    functions: tuple[str, ...] = ()
    """Those round the names, outermost first."""

    @property
    def dotted(self) -> str:
        """The names as they are written."""
        return join_names(self.names)

    @property
    def expression(self) -> str:
        """The names with the functions round them: what tells this value from others."""
        return "".join(f"{name}(" for name in self.functions) + self.dotted + ")" * len(self.functions)

    def apply(self, value: object) -> object:
        """Return what its functions make of what its names lead to. Raises TypeError where that is no path."""
        return apply_functions(self.functions, value)


class JsonMapping(dict[str, Any]):
    """A mapping that may also stand inside a text, as JSON: an output of a job with a matrix, by leg."""


class OpenMapping(dict[str, Any]):
    """A mapping that anything may be asked of: what it does not have is nothing, and no mistake."""


class _BadReference(NamedTuple):
    """What begins like a reference and is none."""

    message: str
    start: int
    width: int
    raw: str
    help: str | None = _SYNTAX_HELP


_Piece = str | TextReference | _BadReference


def interpolate(
    source: SourceDocument,
    data: Any,
    scopes: Mapping[str, Mapping[str, Any]],
    *,
    base: DataPath,
    runtime: frozenset[str] = frozenset(),
) -> tuple[Any, list[LocatedDiagnostic]]:
    """Return `data`, which stands at `base` in `source`, with values from `scopes` for its references.

    References that `runtime` names, by their root or as `env.X`, stay as they are, and literal braces stay escaped, so
    that the result is a template. What can't be replaced stays too, with a problem. Keys are not looked at.
    """
    work = _Interpolation(source, scopes, runtime)
    return work.replace(data, base), work.diagnostics


def names_used(data: Any) -> set[tuple[str, ...]]:
    """Return the names of every reference in some data, such as `("params", "buns")`."""
    return {
        piece.names for text in _texts(data) for piece in _pieces(text) if isinstance(piece, TextReference)
    }


def references(text: str) -> Iterator[TextReference]:
    """Yield the references in a text, first to last."""
    return (piece for piece in _pieces(text) if isinstance(piece, TextReference))


def with_names(text: str, rename: Callable[[tuple[str, ...]], tuple[str, ...]]) -> str:
    """Return a text with other names in its references."""
    for reference in reversed([*references(text)]):
        end = reference.start + reference.width
        text = text[: reference.start] + join_names(rename(reference.names)) + text[end:]
    return text


def is_one_reference(text: str) -> bool:
    """Say whether a text is one reference and nothing else, so that it becomes the value itself."""
    pieces = list(_pieces(text))
    return len(pieces) == 1 and isinstance(pieces[0], TextReference)


def as_template(text: str) -> str:
    """Return the template of which `fill_text` makes this text, whatever is in it."""
    return text.replace("${{", "$${{")


def texts_known(template: str, scopes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the texts that the references of `template` stand for, by expression, as far as `scopes` has them."""
    texts = {}
    for reference in references(template):
        value, depth = follow(scopes, reference.names)
        if depth == len(reference.names) and not _is_collection(value):
            with suppress(TypeError):  # it has been reported
                texts[reference.expression] = _format_value(reference.apply(value))
    return texts


def fill_text(template: str, value_of: Callable[[TextReference], str]) -> str:
    """Return a checked template with the text that `value_of` gives for each reference. `$${{` becomes `${{`.

    Raises:
        ValueError: a reference is malformed.
    """
    return "".join(_filled(piece, value_of) for piece in _pieces(template))


def _filled(piece: _Piece, value_of: Callable[[TextReference], str]) -> str:
    if isinstance(piece, _BadReference):
        raise ValueError(f"{piece.message}: {piece.help}")
    return piece if isinstance(piece, str) else value_of(piece)


def compile_template(template: Any, shown: Shown | None = None) -> Callable[[object], Any]:
    """Return a function that fills the template with an item, by mapping key, attribute or list index.

    `shown` says what stands for a value inside longer text.

    Raises:
        ValueError: a reference is malformed, or is not to `item`.

    What it returns raises LookupError for a field that the item lacks, and TypeError for a list or mapping
    inside longer text.
    """
    if isinstance(template, str):
        return _compile_text(template, shown or _as_in_commands)
    if isinstance(template, Mapping):
        by_key = {key: compile_template(value, shown) for key, value in template.items()}
        return lambda item: {key: filled(item) for key, filled in by_key.items()}
    if isinstance(template, list | tuple):
        entries = [compile_template(entry, shown) for entry in template]
        return lambda item: [filled(item) for filled in entries]
    return lambda _item: template


def _pieces(text: str) -> Iterator[_Piece]:
    """Cut a text into literal text, references and faults."""
    done = 0
    while opening := _OPENING.search(text, done):
        if opening.start() > done:
            yield text[done : opening.start()]
        if len(opening[0]) == 4:
            yield "${{"
            done = opening.end()
            continue
        closing = text.find("}}", opening.end())
        done = closing + 2 if closing >= 0 else len(text)
        yield _piece(text, opening.start(), opening.end(), closing)
    if done < len(text):
        yield text[done:]


def _piece(text: str, start: int, inner: int, closing: int) -> _Piece:
    if closing < 0:
        return _BadReference("this '${{' is not closed by '}}'", start, 3, text[start:])
    raw = text[start : closing + 2]
    content = text[inner:closing]
    written = content.strip()
    first = inner + len(content) - len(content.lstrip())
    functions: list[str] = []
    while call := _CALL.fullmatch(written):
        if call[1] not in PATH_FUNCTIONS or len(functions) == _MOST_FUNCTIONS:
            return _bad_function(call[1], first, raw)
        functions.append(call[1])
        first, written = first + call.start(2), call[2]
    if _NAMES.fullmatch(written):
        return TextReference(split_names(written), first, raw, start, len(written), tuple(functions))
    if not written:
        return _BadReference("this reference is empty", start, len(raw), raw)
    return _BadReference(f"'{written}' is not a reference", first, len(written), raw, _syntax_help(written))


def _bad_function(name: str, first: int, raw: str) -> _BadReference:
    if name in PATH_FUNCTIONS:
        return _BadReference(f"more than {_MOST_FUNCTIONS} functions", first, len(name), raw)
    return _BadReference(f"there is no function '{name}' here", first, len(name), raw, no_function(name))


def _syntax_help(written: str) -> str:
    if (piped := _PIPED.fullmatch(written)) and piped[2] in PATH_FUNCTIONS:
        return f"write ${{{{ {piped[2]}({piped[1]}) }}}}"
    return _SYNTAX_HELP


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)


def _is_collection(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple | set | frozenset) and not isinstance(value, JsonMapping)


Shown = Callable[[object, str], str]
"""Makes text of a value, which is at a path in the item, such as `$.price`."""


def _as_in_commands(value: object, _path: str) -> str:
    return _format_value(value)


def _format_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass(slots=True)
class _Interpolation:
    """One walk over some data."""

    source: SourceDocument
    scopes: Mapping[str, Mapping[str, Any]]
    runtime: frozenset[str]
    diagnostics: list[LocatedDiagnostic] = field(default_factory=list)

    def replace(self, data: Any, path: DataPath) -> Any:
        """Return `data`, which stands at `path`, with its references replaced."""
        if isinstance(data, str):
            return self._text(data, path) if "${{" in data else data
        if isinstance(data, Mapping):
            return {
                # A condition of a job or a step has a language of its own.
                key: value if key == "if" and path[:1] == ("jobs",) else self.replace(value, (*path, key))
                for key, value in data.items()
            }
        if isinstance(data, list | tuple):
            return [self.replace(value, (*path, index)) for index, value in enumerate(data)]
        return data

    def _text(self, text: str, path: DataPath) -> Any:
        pieces = list(_pieces(text))
        if len(pieces) == 1 and isinstance(pieces[0], TextReference) and not self._waits(pieces[0]):
            found, value = self._look_up(pieces[0], path)
            return self._escaped(value) if found else text
        return "".join(self._resolved(pieces, path))

    def _resolved(self, pieces: list[_Piece], path: DataPath) -> Iterator[str]:
        """Yield the pieces as text; literal runs are escaped whole, as two halves may make up a `${{`."""
        literal = ""
        for piece in pieces:
            text = piece if isinstance(piece, str) else self._value_as_text(piece, path)
            if text is not None:
                literal += text
            elif not isinstance(piece, str):
                yield self._escaped(literal) + piece.raw
                literal = ""
        yield self._escaped(literal)

    def _value_as_text(self, piece: TextReference | _BadReference, path: DataPath) -> str | None:
        """Return the text to put in, or None where the reference is to stay."""
        if isinstance(piece, _BadReference):
            self._complain(path, piece, "reference-syntax", piece.message, piece.help)
            return None
        if self._waits(piece):
            return None
        found, value = self._look_up(piece, path)
        if found and _is_collection(value):
            message = f"'{piece.dotted}' is a list or a mapping, which can't be put inside a text"
            help_ = "make it the whole value, or refer to one of its entries"
            self._complain(path, piece, "reference-type", message, help_)
        return _format_value(value) if found and not _is_collection(value) else None

    def _waits(self, reference: TextReference) -> bool:
        return reference.names[0] in self.runtime or ".".join(reference.names[:2]) in self.runtime

    def _look_up(self, reference: TextReference, path: DataPath) -> tuple[bool, Any]:
        names = reference.names
        value, depth = follow(self.scopes, names)
        if depth == len(names):
            return self._apply(reference, value, path)
        if any(
            isinstance(follow(self.scopes, names[:count])[0], OpenMapping) for count in range(1, depth + 1)
        ):
            return True, ""
        known = names_in(value) + (sorted(n for n in self.runtime if "." not in n) if depth == 0 else [])
        message = f"there is no '{join_names(names[: depth + 1])}'"
        help_ = _dots_in_name(names[:depth], names[depth:], known) or _right_name(
            names[:depth], names[depth], known
        )
        self._complain(path, reference, "unknown-reference", message, help_)
        return False, None

    def _apply(self, reference: TextReference, value: Any, path: DataPath) -> tuple[bool, Any]:
        if value is None:  # a param that nobody has given a value yet
            return True, None
        try:
            return True, reference.apply(value)
        except TypeError as error:
            self._complain(path, reference, "reference-type", str(error), "a path is a text")
            return False, None

    def _escaped(self, value: Any) -> Any:
        """Keep what is put in from being filled later, when the result is a template."""
        if not self.runtime:
            return value
        if isinstance(value, str):
            return as_template(value)
        if isinstance(value, Mapping):
            return {key: self._escaped(below) for key, below in value.items()}
        return [self._escaped(below) for below in value] if isinstance(value, list | tuple) else value

    def _complain(
        self, path: DataPath, piece: TextReference | _BadReference, code: str, message: str, help_: str | None
    ) -> None:
        where = self.source.within(path, piece.start, piece.width)
        self.diagnostics.append(where.diagnostic(code, message, help=help_))


def _dots_in_name(prefix: tuple[str, ...], rest: tuple[str, ...], known: list[str]) -> str | None:
    """Say how a name is written that has dots in it, where the first of `rest` are one."""
    for count in range(len(rest), 1, -1):
        if (whole := ".".join(rest[:count])) in known:
            return f"write {join_names((*prefix, whole, *rest[count:]))}, as '{whole}' is one name"
    return None


def _right_name(prefix: tuple[str, ...], name: str, known: list[str]) -> str:
    meant = which_one([join_names((*prefix, right)) for right in near(name, known)])
    return meant or did_you_mean(name, known) or f"'{join_names(prefix)}' has no entries"


def _compile_text(text: str, shown: Shown) -> Callable[[object], Any]:
    found = [*_pieces(text)]
    pieces = [_compile_piece(piece) for piece in found]
    if len(pieces) == 1 and callable(pieces[0]):
        return pieces[0]
    if not any(callable(piece) for piece in pieces):
        literal = "".join(str(piece) for piece in pieces)
        return lambda _item: literal
    parts = [
        _text_of(get, f"${'.'.join(('', *piece.names[1:]))}", text, shown)
        if isinstance(piece, TextReference) and not isinstance(get, str)
        else str(get)
        for piece, get in zip(found, pieces, strict=True)
    ]
    return lambda item: "".join([each if isinstance(each, str) else each(item) for each in parts])


def _text_of(get: Callable[[object], Any], path: str, text: str, shown: Shown) -> Callable[[object], str]:
    def put_in(item: object) -> str:
        value = get(item)
        if _is_collection(value):
            raise TypeError(f"a {type(value).__name__} can't be put inside the text '{text}'")
        return shown(value, path)

    return put_in


def _compile_piece(piece: _Piece) -> str | Callable[[object], Any]:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, _BadReference):
        raise ValueError(f"{piece.message}: {piece.help}")
    if piece.names[0] != ITEM:
        raise ValueError(f"'{piece.dotted}' is not known while the work goes on; only '{ITEM}' is")
    steps, functions = piece.names[1:], piece.functions
    get = _getter(steps) if steps else lambda item: item
    return (lambda item: apply_functions(functions, get(item))) if functions else get


def _getter(names: tuple[str, ...]) -> Callable[[object], Any]:
    def get(item: object) -> Any:
        value, depth = follow(item, names, attributes=True)
        if depth == len(names):
            return value
        where = join_names((ITEM, *names[:depth]))
        hint = did_you_mean(names[depth], names_in(value))
        raise LookupError(
            f"{where} ({type(value).__name__}) has no '{names[depth]}'{f'; {hint}' if hint else ''}"
        )

    return get
