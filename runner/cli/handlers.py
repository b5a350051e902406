"""`mprun handlers`: the kinds of handlers that `run` can name, from their own declarations."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import print_message, write
from runner.errors import UsageError
from runner.facts import dataclass
from runner.render.tables import table, width_of

if TYPE_CHECKING:
    from runner.handlers.kinds import HandlerKind
    from runner.handlers.over_death import KindPromise


@dataclass(frozen=True, slots=True)
class KindCard:
    """What is shown of one kind."""

    name: str
    summary: str
    roles: tuple[str, ...]
    options: Mapping[str, Any]
    example: str
    over_death: Mapping[str, str] = field(default_factory=dict)
    """By role, what is promised over the death of the runner."""


_ALL_ROLES = ("producer", "pipe", "consumer", "plain")

_PYTHON_OPTIONS = {
    "type": "string",
    "description": (
        "A generator function produces; a function of one item consumes or passes on what it returns; "
        "a class is built once a worker and called with each item; a parameter named `queue`, `inbox` or "
        "`outbox` gets the queue itself. Its other parameters come from `with`."
    ),
}
_PYTHON_EXAMPLE = """\
chef:
  run: baozi:steam          # the function `steam` of baozi.py
  with: {buns: 3}
  to: steamer
"""


EXAMPLES = examples(
    "mprun handlers",
    "mprun handlers command",
    "mprun handlers --format json",
)


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@output_format(["text", "json"])
def command(name: str | None, form: str) -> int:
    """List the kinds of handlers that `run` can name; with NAME, show all options of one and an example.

    Other packages add kinds by the entry point group `mprun.handlers`.
    """
    cards = _cards()
    if name is None:
        shown = list(cards.values())
        write(
            _as_json([_as_dict(card) for card in shown])
            if form == "json"
            else list_text(shown, width_of(sys.stdout))
        )
    else:
        card = _pick(cards, name)
        write(_as_json(_as_dict(card)) if form == "json" else card_text(card))
    return 0


def list_text(cards: list[KindCard], width: int | None = None) -> str:
    """Show one line a kind, or more where a line has `width` cells only."""
    rows = [[card.name, ", ".join(card.roles), card.summary] for card in cards]
    lines = table([["KIND", "ROLES", "WHAT IT IS"], *rows], width)
    return "\n".join([*lines, "", "`mprun handlers KIND` shows the options of one and an example."]) + "\n"


def card_text(card: KindCard) -> str:
    """Show one kind with its options and its example."""
    lines = [card.name, *_wrapped(card.summary, 2), "", f"Roles: {', '.join(card.roles)}", "", "Options:"]
    for heading, meaning in _option_rows(card.options):
        lines += [f"  {heading}", *_wrapped(meaning, 6)]
    lines += ["", "Over the runner's death, by `mprun resume`:"] if card.over_death else []
    for role, sentence in card.over_death.items():
        lines += [f"  {role}", *_wrapped(sentence, 6)]
    lines += ["", "Example:", *(f"  {line}".rstrip() for line in card.example.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: int) -> list[str]:
    import textwrap

    margin = " " * indent
    return textwrap.wrap(text, 80, initial_indent=margin, subsequent_indent=margin)


def _option_rows(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each option with its type, and its meaning; a bare value is one without a name."""
    alternatives = schema.get("oneOf") or schema.get("anyOf")
    if alternatives:
        for alternative in alternatives:
            yield from _option_rows(alternative)
    elif "properties" in schema:
        short = [each for each in schema.get("type", ()) if each != "object"]
        if isinstance(schema.get("type"), list) and short:  # a shorter way to write it
            yield _type_words({"type": short}), schema.get("description", "")
        required = schema.get("required", ())
        for name, option in schema["properties"].items():
            yield f"{name}: {_type_words(option)}", _meaning(option, needed=name in required)
    else:
        yield _type_words(schema), _meaning(schema, needed=False)


def _type_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    alternatives = schema.get("oneOf") or schema.get("anyOf")
    if alternatives:
        return " or ".join(_type_words(alternative) for alternative in alternatives)
    found = schema.get("type", "any")
    words = {"string": "text", "array": "list", "object": "mapping"}
    return " or ".join(words.get(one, one) for one in ([found] if isinstance(found, str) else found))


def _meaning(schema: Mapping[str, Any], *, needed: bool) -> str:
    note = " (required)" if needed else ""
    if "default" in schema:
        note = f" (default: {json.dumps(schema['default'], ensure_ascii=False)})"
    return f"{schema.get('description', '')}{note}".strip()


def _cards() -> dict[str, KindCard]:
    python = _python_card()
    return {python.name: python} | {kind.name: _card(kind) for kind in _kinds().values()}


def _python_card() -> KindCard:
    """Python handlers are no registered kind: `run: module:callable` is their whole declaration."""
    from runner.handlers.over_death import promises_of_functions

    return KindCard(
        name="python",
        summary="A Python function or class, named as `run: module:callable`; found beside the file first.",
        roles=_ALL_ROLES,
        options=_PYTHON_OPTIONS,
        example=_PYTHON_EXAMPLE,
        over_death=_by_role(promises_of_functions()),
    )


def _kinds() -> dict[str, HandlerKind]:
    from runner.handlers.registry import all_kinds, built_in_kinds

    try:
        return all_kinds()
    except (
        Exception
    ) as error:  # another package's module, whatever it raises: ours are still there to be listed
        print_message(f"mprun: the kinds of other packages can't be loaded: {type(error).__name__}: {error}")
        return built_in_kinds()


def _card(kind: HandlerKind) -> KindCard:
    roles = tuple(role for role in _ALL_ROLES if role in kind.roles)
    from runner.handlers.over_death import promises_of

    return KindCard(kind.name, kind.summary, roles, kind.options, kind.example, _by_role(promises_of(kind)))


def _by_role(promises: Iterable[KindPromise]) -> dict[str, str]:
    return {each.role: each.sentence for each in promises}


def _pick(cards: Mapping[str, KindCard], name: str) -> KindCard:
    from runner.spec.suggestions import did_you_mean

    if name not in cards:
        raise UsageError(f"there is no handler kind '{name}'; {did_you_mean(name, cards)}")
    return cards[name]


def _as_dict(card: KindCard) -> dict[str, Any]:
    return {each.name: getattr(card, each.name) for each in fields(card)}


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=dict) + "\n"
