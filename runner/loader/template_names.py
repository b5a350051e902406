"""The names that what stands in a template has where it is used, and what else is laid over it there. Pure.

to: between      ──► to: small-between       queues and stages by name, wherever one is named
${{ params.x }}  ──► ${{ params.small-x }}   a param of the template is one of the workflow
defaults         ──► under the keys of its stages and queues
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from runner.facts import dataclass
from runner.spec.dotted_names import join_names
from runner.spec.expressions.ast import Reference, walk
from runner.spec.expressions.evaluate import parse_condition
from runner.spec.references import with_names
from runner.spec.routes import ELSE
from runner.spec.source.positions import SourceNode


@dataclass(frozen=True, slots=True)
class Renaming:
    """Gives what stands in a template the names that it has where it is used."""

    stages: Mapping[str, str]
    queues: Mapping[str, str]
    prefix: str
    """What the names of its params begin with there."""

    def stage(self, node: SourceNode) -> SourceNode:
        """Return a stage of the template."""
        entries = self.texts(node).entries()
        renamed = {
            "from": self._queue,
            "to": self._routes,
            "on_error": self._letters,
            "needs": self._stage,
            "until": self._stage,
        }
        return node.with_entries(
            {key: renamed[key](each) if key in renamed else each for key, each in entries.items()}
        )

    def texts(self, node: SourceNode) -> SourceNode:
        """Return a value whose references are to the params of the workflow that the template's have become."""
        if isinstance(node.data, str):
            return node._replace(data=with_names(node.data, self._param)) if "${{" in node.data else node
        if isinstance(node.data, dict):
            return node.with_entries({key: self.texts(each) for key, each in node.entries().items()})
        return (
            node.with_items([self.texts(each) for each in node.items()])
            if isinstance(node.data, list)
            else node
        )

    def _param(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return (
            (names[0], f"{self.prefix}-{names[1]}", *names[2:])
            if names[0] == "params" and names[1:]
            else names
        )

    def _routes(self, node: SourceNode) -> SourceNode:
        """Return what stands under `to`: queues, or conditions by queue."""
        if not isinstance(node.data, dict):
            return self._queue(node)
        return node.with_entries(
            {
                key if key == ELSE else self.queues.get(key, key): self._queue(each)
                if key == ELSE
                else self._condition(each)
                for key, each in node.entries().items()
            }
        )

    def _condition(self, node: SourceNode) -> SourceNode:
        if not isinstance(node.data, str) or "params" not in node.data:
            return node
        return node._replace(data=_with_names_in_condition(node.data, self._param))

    def _queue(self, node: SourceNode) -> SourceNode:
        return _renamed_in(node, self.queues)

    def _stage(self, node: SourceNode) -> SourceNode:
        return _renamed_in(node, self.stages)

    def _letters(self, node: SourceNode) -> SourceNode:
        entries = node.entries()
        return node.with_entries({**entries, "to": self._queue(entries["to"])}) if "to" in entries else node


def _with_names_in_condition(text: str, rename: Callable[[tuple[str, ...]], tuple[str, ...]]) -> str:
    """Return a condition that refers to other params; one that can't be read, as it is."""
    condition, _ = parse_condition(text, ())
    found = [] if condition is None else [n for n in walk(condition.tree) if isinstance(n, Reference)]
    for each in sorted(found, key=lambda node: node.start, reverse=True):
        if len(each.names) > 1:
            end = each.places[1][1]
            end += text.startswith("]", end)
            text = text[: each.start] + join_names(rename(each.names[:2])) + text[end:]
    return text


def _renamed_in(node: SourceNode, names: Mapping[str, str]) -> SourceNode:
    """Return a name, a list of names, or a mapping by name, with other names."""
    if isinstance(node.data, str):
        return node._replace(data=names.get(node.data, node.data))
    if isinstance(node.data, list):
        return node.with_items([_renamed_in(each, names) for each in node.items()])
    return node.with_entries({names.get(key, key): each for key, each in node.entries().items()})


def queues_named(stage: SourceNode) -> Iterator[str]:
    """Yield the queues that a stage names."""
    entries = stage.entries()
    errors = entries["on_error"].entries() if "on_error" in entries else {}
    written = [entries[key].data for key in ("from", "to") if key in entries]
    written += [errors["to"].data] if "to" in errors else []
    for ends in written:
        named = (
            [*ends, ends.get(ELSE)] if isinstance(ends, dict) else ends if isinstance(ends, list) else [ends]
        )
        yield from (name for name in named if isinstance(name, str) and name != ELSE)


def with_needs_of(node: SourceNode, groups: Mapping[str, list[str]]) -> SourceNode:
    """Return a stage that needs all the stages of a template where it needs the one that uses it."""
    entries = node.entries()
    needs = entries.get("needs")
    listed = [] if needs is None else needs.items() or [needs]
    if not any(isinstance(each.data, str) and each.data in groups for each in listed):
        return node
    items = [
        each._replace(data=name)
        for each in listed
        for name in (groups.get(each.data, [each.data]) if isinstance(each.data, str) else [each.data])
    ]
    assert needs is not None
    return node.with_entries({**entries, "needs": needs.with_items(items)})


def over_defaults(under: SourceNode | None, node: SourceNode) -> SourceNode:
    """Lay the keys of an entry over those of the template's defaults; `env` alone is joined."""
    if under is None or not isinstance(node.data, dict | None):
        return node
    usual, own = under.entries(), node.entries()
    if "names" in own:
        usual.pop("count", None)
    joined = {"env": laid_on(own["env"], usual["env"])} if "env" in own and "env" in usual else {}
    return (node if isinstance(node.data, dict) else emptied(node)).with_entries({**usual, **own, **joined})


def laid_on(over: SourceNode, under: SourceNode) -> SourceNode:
    """Return what is under with what is over it, mappings key by key."""
    if not isinstance(over.data, dict) or not isinstance(under.data, dict):
        return over
    mine, theirs = over.entries(), under.entries()
    return under.with_entries(
        {
            **theirs,
            **{key: laid_on(each, theirs[key]) if key in theirs else each for key, each in mine.items()},
        }
    )


def emptied(node: SourceNode) -> SourceNode:
    """Return an empty mapping that stands where this value does."""
    return SourceNode({}, node.mark._replace(children={}))
