"""`${{ … }}`: the one interpolation. Pure.

    before the run   interpolate(data, scopes)     params, env, secrets, matrix, needs     gives Problems
    in a worker      compile_template(template)    item, item.a.b                          raises LookupError

A scalar that is one reference becomes the value itself; inside longer text the value is put in as text.
`$${{` writes a literal `${{`. `$VAR` and `${VAR}` are none of ours: they are the shell's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from runner.problems import Problem, did_you_mean, nearest
from runner.source_marks import DataPath, Source

ITEM = "item"
"""The root of references that are filled in a worker, once for each item."""
AT_RUN = frozenset({"needs", "secrets"})
"""The roots of references that are filled when a job starts."""
IN_JOBS = AT_RUN | {"matrix"}
"""The roots that stay in a job's texts when the file is read."""

_OPENING = re.compile(r"\$?\$\{\{")
_NAMES = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*")
_SYNTAX_HELP = "write names joined by dots, such as ${{ params.x }}; '$${{' writes a literal '${{'"


class Reference(NamedTuple):
    """One `${{ a.b }}` in a text."""

    names: tuple[str, ...]
    start: int
    """Where the names start in the text."""
    raw: str
    """All of it, braces included."""
    at: int
    """Where the braces start in the text."""

    @property
    def dotted(self) -> str:
        """The names as they are written."""
        return ".".join(self.names)

    @property
    def width(self) -> int:
        """The characters of the names."""
        return len(self.dotted)


class _Fault(NamedTuple):
    """What begins like a reference and is none."""

    message: str
    start: int
    width: int
    raw: str


_Piece = str | Reference | _Fault


def interpolate(
    source: Source,
    data: Any,
    scopes: Mapping[str, Mapping[str, Any]],
    *,
    base: DataPath,
    runtime: frozenset[str] = frozenset(),
) -> tuple[Any, list[Problem]]:
    """Return `data`, which stands at `base` in `source`, with values from `scopes` for its references.

    References whose first name is in `runtime` stay as they are, and literal braces stay escaped, so that
    the result is a template. What can't be replaced stays too, with a problem. Keys are not looked at.
    """
    work = _Interpolation(source, scopes, runtime)
    return work.replace(data, base), work.problems


def names_used(data: Any) -> set[tuple[str, ...]]:
    """Return the names of every reference in some data, such as `("params", "buns")`."""
    return {piece.names for text in _texts(data) for piece in _pieces(text) if isinstance(piece, Reference)}


def references(text: str) -> Iterator[Reference]:
    """Yield the references in a text, first to last."""
    return (piece for piece in _pieces(text) if isinstance(piece, Reference))


def is_one_reference(text: str) -> bool:
    """Say whether a text is one reference and nothing else, so that it becomes the value itself."""
    pieces = list(_pieces(text))
    return len(pieces) == 1 and isinstance(pieces[0], Reference)


def texts_known(template: str, scopes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the texts that the references of `template` stand for, by name; those that `scopes` lacks are left out."""
    texts = {}
    value: Any
    for names in names_used(template):
        found, value = True, scopes
        for name in names:
            found, value = _entry(value, name) if found else (False, None)
        if found and not _is_collection(value):
            texts[".".join(names)] = _as_text(value)
    return texts


def fill(template: Any, item: object) -> Any:
    """Return `template` with its references to `item` filled. To fill it often, compile it once."""
    return compile_template(template)(item)


def fill_text(template: str, value_of: Callable[[Reference], str]) -> str:
    """Return a checked template with the text that `value_of` gives for each reference. `$${{` becomes `${{`.

    Raises:
        ValueError: a reference is malformed.
    """
    return "".join(_filled(piece, value_of) for piece in _pieces(template))


def _filled(piece: _Piece, value_of: Callable[[Reference], str]) -> str:
    if isinstance(piece, _Fault):
        raise ValueError(f"{piece.message}: {_SYNTAX_HELP}")
    return piece if isinstance(piece, str) else value_of(piece)


def compile_template(template: Any) -> Callable[[object], Any]:
    """Return a function that fills the template with an item, by mapping key, attribute or list index.

    Raises:
        ValueError: a reference is malformed, or is not to `item`.

    What it returns raises LookupError for a field that the item lacks, and TypeError for a list or mapping
    inside longer text.
    """
    if isinstance(template, str):
        return _compile_text(template)
    if isinstance(template, Mapping):
        by_key = {key: compile_template(value) for key, value in template.items()}
        return lambda item: {key: filled(item) for key, filled in by_key.items()}
    if isinstance(template, list | tuple):
        entries = [compile_template(entry) for entry in template]
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
        return _Fault("this '${{' is not closed by '}}'", start, 3, text[start:])
    raw = text[start : closing + 2]
    content = text[inner:closing]
    written = content.strip()
    first = inner + len(content) - len(content.lstrip())
    if _NAMES.fullmatch(written):
        return Reference(tuple(written.split(".")), first, raw, start)
    if not written:
        return _Fault("this reference is empty", start, len(raw), raw)
    return _Fault(f"'{written}' is not a reference", first, len(written), raw)


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
    return isinstance(value, Mapping | list | tuple | set | frozenset)


def _as_text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass(slots=True)
class _Interpolation:
    """One walk over some data."""

    source: Source
    scopes: Mapping[str, Mapping[str, Any]]
    runtime: frozenset[str]
    problems: list[Problem] = field(default_factory=list)

    def replace(self, data: Any, path: DataPath) -> Any:
        """Return `data`, which stands at `path`, with its references replaced."""
        if isinstance(data, str):
            return self._text(data, path) if "${{" in data else data
        if isinstance(data, Mapping):
            return {key: self.replace(value, (*path, key)) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.replace(value, (*path, index)) for index, value in enumerate(data)]
        return data

    def _text(self, text: str, path: DataPath) -> Any:
        pieces = list(_pieces(text))
        if len(pieces) == 1 and isinstance(pieces[0], Reference) and pieces[0].names[0] not in self.runtime:
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

    def _value_as_text(self, piece: Reference | _Fault, path: DataPath) -> str | None:
        """Return the text to put in, or None where the reference is to stay."""
        if isinstance(piece, _Fault):
            self._complain(path, piece, "reference-syntax", piece.message, _SYNTAX_HELP)
            return None
        if piece.names[0] in self.runtime:
            return None
        found, value = self._look_up(piece, path)
        if found and _is_collection(value):
            message = f"'{piece.dotted}' is a list or a mapping, which can't be put inside a text"
            help_ = "make it the whole value, or refer to one of its entries"
            self._complain(path, piece, "reference-type", message, help_)
        return _as_text(value) if found and not _is_collection(value) else None

    def _look_up(self, reference: Reference, path: DataPath) -> tuple[bool, Any]:
        value: Any = self.scopes
        for depth, name in enumerate(reference.names):
            found, below = _entry(value, name)
            if not found:
                known = _names_in(value) + (sorted(self.runtime) if depth == 0 else [])
                help_ = _right_name(reference.names[:depth], name, known)
                message = f"there is no '{'.'.join(reference.names[: depth + 1])}'"
                self._complain(path, reference, "unknown-reference", message, help_)
                return False, None
            value = below
        return True, value

    def _escaped(self, value: Any) -> Any:
        """Keep what is put in from being filled later, when the result is a template."""
        if not self.runtime:
            return value
        if isinstance(value, str):
            return value.replace("${{", "$${{")
        if isinstance(value, Mapping):
            return {key: self._escaped(below) for key, below in value.items()}
        return [self._escaped(below) for below in value] if isinstance(value, list | tuple) else value

    def _complain(
        self, path: DataPath, piece: Reference | _Fault, code: str, message: str, help_: str
    ) -> None:
        where = self.source.within(path, piece.start, piece.width)
        self.problems.append(where.problem(code, message, help=help_))


def _entry(value: Any, name: str) -> tuple[bool, Any]:
    if isinstance(value, Mapping):
        return name in value, value.get(name)
    if isinstance(value, list | tuple) and _is_index(name) and int(name) < len(value):
        return True, value[int(name)]
    return False, None


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10


def _names_in(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    return [str(index) for index in range(len(value))] if isinstance(value, list | tuple) else []


def _right_name(prefix: tuple[str, ...], name: str, known: list[str]) -> str:
    best = nearest(name, known)
    if best is not None:
        return f"did you mean '{'.'.join((*prefix, best))}'?"
    return did_you_mean(name, known) or f"'{'.'.join(prefix)}' has no entries"


def _compile_text(text: str) -> Callable[[object], Any]:
    pieces = [_compile_piece(piece) for piece in _pieces(text)]
    if len(pieces) == 1 and callable(pieces[0]):
        return pieces[0]
    if not any(callable(piece) for piece in pieces):
        literal = "".join(str(piece) for piece in pieces)
        return lambda _item: literal
    return lambda item: "".join([p if isinstance(p, str) else _put_in(p(item), text) for p in pieces])


def _compile_piece(piece: _Piece) -> str | Callable[[object], Any]:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, _Fault):
        raise ValueError(f"{piece.message}: {_SYNTAX_HELP}")
    if piece.names[0] != ITEM:
        raise ValueError(f"'{piece.dotted}' is not known while the work goes on; only '{ITEM}' is")
    steps = piece.names[1:]
    return _getter(steps) if steps else lambda item: item


def _getter(steps: tuple[str, ...]) -> Callable[[object], Any]:
    def get(item: object) -> Any:
        value = item
        for depth, name in enumerate(steps):
            value = _field(value, name, steps[:depth])
        return value

    return get


_ABSENT = object()


def _field(value: Any, name: str, above: tuple[str, ...]) -> Any:
    if type(value) is dict or isinstance(value, Mapping):
        if name in value:
            return value[name]
    else:
        found = getattr(value, name, _ABSENT)
        if found is not _ABSENT:
            return found
        if isinstance(value, list | tuple) and _is_index(name) and int(name) < len(value):
            return value[int(name)]
    where = ".".join((ITEM, *above))
    hint = did_you_mean(name, _names_in(value))
    raise LookupError(f"{where} ({type(value).__name__}) has no '{name}'{f'; {hint}' if hint else ''}")


def _put_in(value: object, text: str) -> str:
    if _is_collection(value):
        raise TypeError(f"a {type(value).__name__} can't be put inside the text '{text}'")
    return _as_text(value)
