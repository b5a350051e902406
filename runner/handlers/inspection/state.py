"""What a handler that is called with items keeps of them, read from its source. Nothing of the user's is run.

"counting:Tally" ──► find it ──► its body, or __call__, and the methods and functions of the user's that these call
                                    │ self.total += n      assigned, augmented, deleted
                                    │ self.seen[word] = n  an entry of it
                                    │ self.rows.append(n)  a container of its own, by a method that changes it
                                    │ rows = self.rows     … under another name too
                                    │ self.sums.add(n)     by a method of a class of the user's, in whichever file
                                    │ bump(self.sums)      by a function of the user's
                                    │ SEEN.add(n)          of a module, of a default, or of a closure (`outside.py`)
                                    ▼ self.file.write(n)   to what holds it back, with no flush at each call
                                KeptState   the first of these, with its line
                                None        nothing of the kind is seen

What makes no difference to the next item is nothing kept: a model that is made when first needed, a client that is made
again, and a cache (`caches.py`). What can't be seen is not guessed: `self.client.update(row)` changes a container only
where the user's source makes one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from runner.handlers.arguments import INJECTED
from runner.handlers.inspection.begun import begun_in
from runner.handlers.inspection.caches import only_a_cache
from runner.handlers.inspection.changes import ITSELF, Body, Called, Change, OwnPart
from runner.handlers.inspection.imports import Missing, Opaque, SourceModule, find_module
from runner.handlers.inspection.making import (
    OwnGenerator,
    OwnInstance,
    commits_each,
    first_parameter,
    given_by,
    has_yield,
    is_container,
    made_by,
    opens_database,
    parameters_of,
    shared_by_instances,
)
from runner.handlers.inspection.methods import bound_method, registered_for
from runner.handlers.inspection.names import (
    Class,
    Defined,
    Function,
    FunctionNode,
    Live,
    dotted_name,
    look_up,
    read_names,
)
from runner.handlers.inspection.outside import Outside, Outsides, Scope
from runner.handlers.inspection.scratch import Scratch, scratch_of
from runner.handlers.inspection.signatures import Ancestor, decorators, lineage_of, split_target
from runner.spec.commits import Holder, KeptState, LostBeside

_DEEPEST_PART = 3
_SAY_WHAT_IS_PICKLED = ("__getstate__", "__reduce__", "__reduce_ex__")
_MOST_METHODS = 500
_NO_MEMBER = -1
"""The place of a function that is no class's."""


def read_kept_state(target: str, beside: Path) -> KeptState | Opaque | None:
    """Return what `module:callable` keeps of its items, or why that can't be seen; None if it keeps nothing."""
    walk = _walk(target, beside)
    return walk.first(walk.entry) if isinstance(walk, _Walk) else walk


def read_unflushed_state(target: str, beside: Path) -> KeptState | None:
    """Return what calls of a class change and its `flush()` does nothing with. Files count as nothing."""
    walk = _walk(target, beside, holds_back=False)
    return walk.unflushed() if isinstance(walk, _Walk) else None


def read_class_state(target: str, beside: Path) -> KeptState | None:
    """Return what calls change that is not the instance's, so that no pickle of it has that."""
    walk = _walk(target, beside)
    return walk.not_of_the_instance(walk.entry) if isinstance(walk, _Walk) else None


def _walk(target: str, beside: Path, *, holds_back: bool = True) -> _Walk | KeptState | Opaque | None:
    parts = split_target(target)
    module = parts if isinstance(parts, Missing) else find_module(parts[0], beside)
    if isinstance(parts, Missing) or isinstance(module, Missing | Opaque):
        return module if isinstance(module, Opaque) else None
    match look_up(parts[1], module, beside):
        case Function(inside=None) as function:
            return _Walk([], beside, parts[0], function=function)
        case Function(module=its_module, node=ast.FunctionDef(name=name), inside=ast.ClassDef() as inside):
            return _Walk([Class(its_module, inside)], beside, parts[0], entry=name)
        case Class() as found:
            lineage = lineage_of(found, beside)
            if isinstance(lineage, Opaque):
                return lineage
            return _Walk(lineage, beside, parts[0], holds_back=holds_back)
        case Opaque() as found if isinstance(module, SourceModule):
            return _what_made_it_shows(parts[1], module, beside) or found
        case Opaque() as found:
            return found
    return None


def _what_made_it_shows(name: str, module: SourceModule, beside: Path) -> KeptState | None:
    """What a handler keeps that only running its module makes: of a closure, a partial, an instance."""
    node = ast.parse(f"lambda item: {name}(item)", mode="eval").body
    function = Function(module, node) if isinstance(node, ast.Lambda) else None
    kept = _Walk([], beside, module.name, function=function).first("")
    return kept if isinstance(kept, KeptState) else None


class _Method(NamedTuple):
    """A method, and where its class stands in the lineage; or a function, which stands in none."""

    node: FunctionNode
    module: SourceModule
    place: int
    handed: frozenset[tuple[str, OwnPart]] = frozenset()
    """What of `self`, or of what is outside, its parameters stand for; a default is outside too."""
    items: frozenset[str] | None = None
    """The parameters that may hold something of an item; None: any may."""
    near: frozenset[tuple[str, str]] = frozenset()
    """The keys of what the function round it has."""


class _Walk:
    """A function; or a class and its bases, from one method through those that it calls."""

    def __init__(
        self,
        lineage: list[Ancestor],
        beside: Path,
        handler: str,
        depth: int = 0,
        *,
        entry: str = "__call__",
        holds_back: bool = True,
        function: Function | None = None,
        given: Mapping[str, ast.expr] | None = None,
    ) -> None:
        """
        `entry`: what is called; `depth`: how many objects stand round this one; `holds_back`: files count.

        `given`: what the containers are made with that the constructor was given.
        """
        self.entry = entry
        self._lineage = lineage
        self._beside = beside
        self._handler = handler
        self._depth = depth
        self._holds_back = holds_back
        self._function = function
        self._classes = {each.node.name for each in lineage if isinstance(each, Class)}
        self._made = made_by(lineage)
        for attribute, value in self._made.items():
            if isinstance(value, ast.Name) and given and value.id in given:
                self._made[attribute] = given[value.id]
        self._outsides = Outsides(handler, beside, self._made)
        for attribute, value in tuple(self._made.items()):
            if isinstance(value, ast.Call) and self._is_own_generator(value.func):
                self._made[attribute] = OwnGenerator(value.func, value.args, value.keywords)
            for module in {each.module: None for each in lineage if isinstance(each, Class)}:
                self._outsides.note_object(attribute, value, module)
        self._is_container = any(not isinstance(each, Class) for each in lineage)

    def _is_own_generator(self, called: ast.expr) -> bool:
        """Say so of `self.method` that is a generator function."""
        match called:
            case ast.Attribute(value=ast.Name(id=own), attr=name) if method := self._find(name, 0):
                return own == first_parameter(method.node) and has_yield(method.node)
        return False

    def first(self, name: str) -> KeptState | Opaque | None:
        """Return the first change that a call of the method makes of what outlives it."""
        start = self._start(name)
        if start is None:
            return self._unseen_call() if not self._depth else None
        return next(self._kept(start), None)

    def unflushed(self) -> KeptState | None:
        """Return the first change that `flush()` does not know of; None also where nobody can say what it knows of."""
        start, flush = self._start("__call__"), self._start("flush")
        if start is None or flush is None:
            return None
        known = set[str]().union(*(body.mentioned() for _, body in self._reached(flush)))
        names = {outside.name for key in known if (outside := self._outsides.known(key))} | known
        unknown = (kept for kept in self._kept(start) if _root_of(kept.attribute) not in names)
        found = None if ITSELF in known else next(unknown, None)
        return None if found is None else replace(found, beside=LostBeside.FLUSH)

    def not_of_the_instance(self, name: str) -> KeptState | None:
        """Return the first change of what is the class's, or outside; None where it says itself what a pickle has."""
        start, shared = self._start(name), shared_by_instances(self._lineage)
        if start is None or any(self._find(each, 0) for each in _SAY_WHAT_IS_PICKLED):
            return None
        for kept in self._kept(start):
            if kept.holder is not Holder.INSTANCE or kept.attribute in shared:
                return replace(kept, beside=LostBeside.CHECKPOINT)
        parts = (part for method, body in self._reached(start) for part in self._parts(body, method))
        found = ((each, walk.not_of_the_instance(called)) for each, called, walk in parts)
        return next((self._of_part(each, kept) for each, kept in found if kept), None)

    def _start(self, name: str) -> _Method | None:
        if self._function is None:
            return self._find(name, 0)
        node = self._function.node
        positional = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
        rest = {node.args.vararg.arg} if node.args.vararg else set()
        item = {next((name for name in positional if name not in INJECTED), "")}
        items = frozenset(item | rest | (INJECTED & parameters_of(node)))
        defaults = self._outsides.defaults_of(node, self._function.module)
        handed = frozenset((name, OwnPart(key, True)) for name, key in defaults.items())
        return _Method(node, self._function.module, _NO_MEMBER, handed, items)

    def _kept(self, start: _Method) -> Iterator[KeptState]:
        reached = list(self._reached(start))
        through = any(body.writes_through for _, body in reached)
        scratch = self._scratch(reached)
        anew = scratch.set_first | scratch.closed
        for method, body in reached:
            changes = [each for each in body.changes() if not self._is_cache_change(each, reached)]
            changes = [each for each in changes if each.attribute not in anew]
            if self._holds_back and not through:
                held = (each for each in body.held_back() if each.attribute not in scratch.closed)
                changes += [each for each in held if not self._commits_each(each, method)]
            for change in sorted(changes, key=lambda each: each.line):
                yield self._told(change, method)
            for what, line in begun_in(body.nodes, method.module) if self._holds_back else ():
                yield KeptState(what, method.module.shown, line, holder=Holder.BEGUN)
        for method, body in reached:
            for key, name, walk in self._parts(body, method, through=through):
                kept = None if key in anew else walk.first(name)
                if isinstance(kept, KeptState):
                    yield self._of_part(key, kept)
        for decorator in self._class_decorators(start):
            kept = decorator.first("__call__")
            if isinstance(kept, KeptState):
                yield replace(
                    kept,
                    attribute=f"{getattr(start.node, 'name', '')}.{kept.attribute}",
                    holder=Holder.MODULE,
                )

    def _scratch(self, reached: list[tuple[_Method, Body]]) -> Scratch:
        """What each call makes anew of `self`, so that nothing of it is kept."""
        if self._function is not None:
            return Scratch()
        nodes = {method.node for method, _ in reached}
        elsewhere = [self._body(each) for each in self._all_methods() if each.node not in nodes]
        (_, start), *others = reached
        return scratch_of(start, [body for _, body in others], elsewhere)

    def _told(self, change: Change, method: _Method) -> KeptState:
        key = next((known for known in _starts_of(change.attribute) if self._outsides.known(known)), None)
        outside = None if key is None else self._outsides.known(key)
        if key is None or outside is None:
            return KeptState(change.attribute, method.module.shown, change.line)
        name = outside.name + change.attribute[len(key) :]
        return KeptState(name, method.module.shown, change.line, holder=outside.holder)

    def _of_part(self, key: str, kept: KeptState) -> KeptState:
        """The same, told of the object that is held under a key."""
        if kept.holder is not Holder.INSTANCE:
            return kept
        outside = self._outsides.known(key)
        name, holder = (outside.name, outside.holder) if outside else (key, Holder.INSTANCE)
        return replace(kept, attribute=f"{name}.{kept.attribute}", holder=holder)

    def _is_cache_change(self, change: Change, reached: list[tuple[_Method, Body]]) -> bool:
        if not change.is_entry:
            return False
        nodes = {method.node for method, _ in reached}
        others = [self._body(method) for method in self._others(change.attribute) if method.node not in nodes]
        return only_a_cache(change.attribute, [body for _, body in reached], others)

    def _others(self, key: str) -> Iterator[_Method]:
        """The methods, or the functions of the module, that may use what stands under a key as well."""
        if (outside := self._outsides.known(key)) is None:
            yield from self._all_methods()
        elif outside.holder is Holder.MODULE and (module := self._outsides.module_of(key)) is not None:
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef):
                    yield _Method(node, module, _NO_MEMBER)

    def _all_methods(self) -> Iterator[_Method]:
        """All but what makes it."""
        for place, ancestor in enumerate(self._lineage):
            if isinstance(ancestor, Class):
                methods = (each for each in ancestor.node.body if isinstance(each, ast.FunctionDef))
                yield from (
                    _Method(each, ancestor.module, place) for each in methods if each.name != "__init__"
                )

    def _commits_each(self, change: Change, method: _Method) -> bool:
        return opens_database(self._made.get(change.attribute)) and commits_each(method.module.tree)

    def _parts(
        self, body: Body, method: _Method, *, through: bool = False
    ) -> Iterator[tuple[str, str, _Walk]]:
        """
        The objects of the user's own classes that are held: key, the method that is called, its walk.

        `through`: what they write is flushed or committed by who calls them.
        """
        if self._depth >= _DEEPEST_PART:
            return
        for key, name in body.calls_of_parts():
            cls = self._class_held(key, method) if name else None
            lineage = lineage_of(cls, self._beside) if cls is not None else None
            if isinstance(lineage, list):
                depth, holds_back = self._depth + 1, self._holds_back and not through
                given = self._containers_given(key, lineage)
                yield (
                    key,
                    name,
                    _Walk(lineage, self._beside, self._handler, depth, holds_back=holds_back, given=given),
                )

    def _containers_given(self, key: str, lineage: list[Ancestor]) -> dict[str, ast.expr]:
        """What the parameters stand for of the constructor of what is held: containers that are `self`'s."""
        call, init = self._made.get(key), _find_in(lineage, "__init__")
        if not isinstance(call, OwnInstance) or init is None:
            return {}
        given = given_by(init, call, bound=True)
        made = {name: self._made.get(each.attr) for name, each in given if isinstance(each, ast.Attribute)}
        return {name: value for name, value in made.items() if value is not None and is_container(value)}

    def _class_held(self, key: str, method: _Method) -> Class | None:
        """The class of what is held under a key; a library's connections keep things that nobody misses."""
        made, outside = self._made.get(key), self._outsides.known(key)
        if isinstance(bound := bound_method(made), ast.Attribute):
            made = bound.value  # `Total().add`
        if made is None and outside is not None and outside.module is not None:
            return self._outsides.class_of(ast.Name(outside.name, ast.Load()), outside.module)
        for module in self._modules_of(key, method):
            if (found := self._outsides.instance_of(made, module)) is not None:
                return found[1]
        return None

    def _modules_of(self, key: str, method: _Method) -> list[SourceModule]:
        """Where the expression that makes what stands under a key may stand."""
        module = self._outsides.module_of(key)
        own = [each.module for each in self._lineage if isinstance(each, Class)]
        return [module] if module is not None else [method.module, *own]

    def _reached(self, start: _Method) -> Iterator[tuple[_Method, Body]]:
        waiting, seen = [start, *self._decorators_of(start)], set[_Method]()
        while waiting and len(seen) < _MOST_METHODS:
            method = waiting.pop(0)
            if method not in seen:
                seen.add(method)
                body = self._body(method)
                yield method, body
                waiting += [*self._called(body, method), *self._registered_for(method)]

    def _registered_for(self, method: _Method) -> Iterator[_Method]:
        """The functions one of which is called in its place, by the type of what is given: `@take.register`."""
        ancestor = None if method.place == _NO_MEMBER else self._lineage[method.place]
        body = ancestor.node.body if isinstance(ancestor, Class) else method.module.tree.body
        for node in registered_for(getattr(method.node, "name", ""), body):
            yield _Method(node, method.module, method.place)

    def _body(self, method: _Method) -> Body:
        return Body(
            method.node,
            first_parameter(method.node) if _is_bound(method) else None,
            dict(method.handed),
            self._made,
            Scope(self._outsides, method.module, dict(method.near)),
            classes=self._classes,
            is_container=self._is_container,
            items=method.items,
        )

    def _unseen_call(self) -> Opaque | None:
        """A class without a call is not called; one that has it from elsewhere can't be looked into."""
        for ancestor in self._lineage:
            if isinstance(ancestor, Class) and read_names(ancestor.node.body).get("__call__") is not None:
                return Opaque("has a __call__ that only running its module would tell")
            if isinstance(ancestor, Live) and _has_call(ancestor):
                return Opaque("has its __call__ from a class in C")
        return None

    def _called(self, body: Body, caller: _Method) -> Iterator[_Method]:
        for called in body.calls():
            for found in self._methods_meant(called, caller):
                yield self._handed(found, called.call, body)
        for dotted, call in body.calls_of_functions():
            if (function := self._function_named(dotted, caller)) is not None:
                yield self._handed(function, call, body)
        for key, name in body.calls_of_parts():
            if not name:
                yield from self._made_by_function(key, caller)

    def _methods_meant(self, called: Called, caller: _Method) -> Iterator[_Method]:
        names = [called.name]
        if called.starts:
            known = (read_names(each.node.body).names for each in self._lineage if isinstance(each, Class))
            names = sorted({name for each in known for name in each if name.startswith(called.name)})
        for name in names:
            if (found := self._find(name, caller.place + 1 if called.above else 0)) is not None:
                yield found

    def _handed(self, called: _Method, call: ast.Call | None, body: Body) -> _Method:
        """The same, with what a call hands to it."""
        bound = _is_bound(called)
        given = {} if call is None else dict(given_by(called.node, call, bound=bound))
        defaults = self._outsides.defaults_of(called.node, called.module)
        handed = {name: OwnPart(key, True) for name, key in defaults.items() if name not in given}
        if call is not None:
            handed |= body.handed_to(called.node, call, bound=bound)
        items = None if call is None else body.items_given(called.node, call, bound=bound)
        return called._replace(handed=frozenset(handed.items()), items=items)

    def _function_named(self, dotted: str, caller: _Method) -> _Method | None:
        """A function of the user's, in whichever file: what others do with what they are given is theirs."""
        found = self._outsides.look_up(dotted, caller.module)
        if isinstance(found, Function) and found.inside is None:
            return _Method(found.node, found.module, _NO_MEMBER)
        return None

    def _made_by_function(self, key: str, caller: _Method) -> Iterator[_Method]:
        """The functions that stand in one that made what is held under a key."""
        made, outside = self._made.get(key), self._outsides.known(key)
        if not isinstance(made, ast.Call):
            return
        for module in self._modules_of(key, caller):
            found = list(self._functions_in(made.func, module, outside or Outside(key, Holder.INSTANCE)))
            if found:
                yield from found
                return

    def _decorators_of(self, method: _Method) -> Iterator[_Method]:
        """The functions that stand in those of the user's that decorate one: what these keep is kept for it."""
        held_by = Outside(getattr(method.node, "name", ""), Holder.MODULE)
        for called in _decorated_by(method.node):
            yield from self._functions_in(called, method.module, held_by)

    def _class_decorators(self, method: _Method) -> Iterator[_Walk]:
        for called in _decorated_by(method.node):
            cls = self._outsides.class_of(called, method.module)
            lineage = lineage_of(cls, self._beside) if cls is not None else None
            if isinstance(lineage, list) and self._depth < _DEEPEST_PART:
                yield _Walk(lineage, self._beside, self._handler, self._depth + 1)

    def _functions_in(self, called: ast.expr, module: SourceModule, held_by: Outside) -> Iterator[_Method]:
        dotted = dotted_name(called)
        found = self._outsides.look_up(dotted, module) if dotted else None
        if isinstance(found, Function):
            for node, near in self._outsides.functions_inside(found.node, found.module, held_by):
                yield _Method(node, found.module, _NO_MEMBER, near=frozenset(near.items()))

    def _find(self, name: str, start: int) -> _Method | None:
        for place, ancestor in enumerate(self._lineage[start:], start):
            if isinstance(ancestor, Class):
                own = read_names(ancestor.node.body).get(name)
                if isinstance(own, Defined) and not isinstance(own.node, ast.ClassDef):
                    return _Method(own.node, ancestor.module, place)
        return None


def _find_in(lineage: Sequence[Ancestor], name: str) -> FunctionNode | None:
    owns = (read_names(each.node.body).get(name) for each in lineage if isinstance(each, Class))
    nodes = (own.node for own in owns if isinstance(own, Defined))
    return next((node for node in nodes if not isinstance(node, ast.ClassDef)), None)


def _decorated_by(node: FunctionNode) -> Iterator[ast.expr]:
    for decorator in [] if isinstance(node, ast.Lambda) else node.decorator_list:
        yield decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_static(node: FunctionNode) -> bool:
    return "staticmethod" in decorators(node)


def _is_bound(method: _Method) -> bool:
    return method.place != _NO_MEMBER and not _is_static(method.node)


def _has_call(ancestor: Live) -> bool:
    return any("__call__" in vars(base) for base in ancestor.value.__mro__ if base is not object)


def _starts_of(key: str) -> Iterator[str]:
    """The key itself, then those of what it is a part of."""
    yield key
    while "." in key:
        key = key.rpartition(".")[0]
        yield key


def _root_of(attribute: str) -> str:
    """The first of what stands in a name: `senders` of `senders[].pending`."""
    return attribute.partition(".")[0].partition("[")[0]
