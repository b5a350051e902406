"""What the body of a method or a function changes of what outlives the call. From its source.

That is an attribute of `self`, or what stands outside the function (`outside.py`): each has a name here, its key. Where
an attribute is made with a `partial`, a lambda or a table of methods, its user is read as if that stood there.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from runner.handlers.inspection.making import (
    CONTAINERS,
    OwnAttribute,
    answers_anew,
    assignments,
    entries_of,
    entry_of,
    given_by,
    holds_back,
    holds_containers,
    is_container,
    is_elsewhere,
    is_library_object,
    loops,
    opener,
    parameters_of,
    property_of,
    result_name,
)
from runner.handlers.inspection.methods import (
    CHANGE_THEIR_FIRST,
    INTO,
    MUTATORS,
    OF_CONTAINERS_ALONE,
    WRITES,
    adds_up,
    advances,
    bound_method,
    is_partial,
    mentions,
    start_of,
    written_to,
)
from runner.handlers.inspection.names import FunctionNode, dotted_name
from runner.handlers.inspection.outside import Scope, names_inside

ITSELF = "self"
"""Stands for an attribute where the class is a container itself."""


class OwnPart(NamedTuple):
    """An attribute of `self`, or `ITSELF`; or something in it."""

    attribute: str
    whole: bool


class Change(NamedTuple):
    attribute: str
    line: int
    is_entry: bool = False
    """An entry of the whole is set or dropped: that is what a cache does."""


class Called(NamedTuple):
    """A method of `self` that is called, or handed on: then there is no `call`."""

    name: str
    above: bool = False
    """Those of a base are meant, by `super()`."""
    call: ast.Call | None = None
    starts: bool = False
    """All are meant whose names start so."""


class Body:
    """The body of one method or function: what it does to `self`, to parts of it, and to what is outside."""

    def __init__(
        self,
        node: FunctionNode,
        own: str | None,
        handed: Mapping[str, OwnPart],
        made: Mapping[str, ast.expr],
        scope: Scope,
        *,
        classes: Collection[str] = (),
        is_container: bool = False,
        items: frozenset[str] | None = None,
    ) -> None:
        """
        `own` is its name for `self`, `handed` what else its parameters stand for; `classes` are those of `self`.

        `items` are the parameters that may hold something of an item; None: any may.
        """
        self._own = own or next((name for name, part in handed.items() if part.attribute == ITSELF), "")
        self._made = made
        self._scope = scope
        self._classes = classes
        self._is_container = is_container
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        self.nodes = [inner for each in body for inner in ast.walk(each)]
        self._declared = {
            name for each in self.nodes if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names
        }
        self._local = names_inside(node)
        self._handed: dict[str, str] = {}
        self.nodes += self._held_code()
        own_parameters = parameters_of(node) - {self._own, *handed}
        self._arguments = own_parameters if items is None else own_parameters & items
        self._own_parameters = own_parameters
        self.from_items = self._read_from_items()
        # Of a container `+=` makes no other.
        self._augmented = {id(each.target) for each in self.nodes if isinstance(each, ast.AugAssign)}
        self._stand_for(handed)
        self._read_aliases()
        self._anew = {id(each) for node in self.nodes for each in self._made_when_first_needed(node)}
        self._anew |= {id(each) for node in self.nodes for each in self._made_of_no_item(node)}

    def _stand_for(self, handed: Mapping[str, OwnPart]) -> None:
        """Note what parameters stand for, where nothing else is ever assigned to them."""
        stored = {
            each.id
            for each in self.nodes
            if isinstance(each, ast.Name)
            and isinstance(each.ctx, ast.Store)
            and id(each) not in self._augmented
        }
        sure = {
            name: part for name, part in handed.items() if name not in stored and part.attribute != ITSELF
        }
        self._aliases = {name: part.attribute for name, part in sure.items()}
        self._parts = {name for name, part in sure.items() if not part.whole}
        self._handed = {name: part.attribute for name, part in sure.items() if part.whole}

    def _held_code(self) -> list[ast.AST]:
        """What stands in the lambdas, partials and tables that it uses: to read one is to use all that is in it."""
        found: list[ast.AST] = []
        for node in self.nodes:
            key = self.key(node) if isinstance(node, ast.Attribute | ast.Name) else None
            made = None if key is None else self._made.get(key)
            if made is not None and (
                isinstance(made, ast.Lambda | ast.Dict | ast.List | ast.Tuple) or is_partial(made)
            ):
                found += ast.walk(made)
        return found

    def changes(self) -> Iterator[Change]:
        """What is done to attributes of `self`, and to what is outside."""
        for node in self.nodes:
            key = None if id(node) in self._anew else self._changed(node)
            if key is not None:
                yield Change(key, getattr(node, "lineno", 0), self._is_entry(node))

    def _is_entry(self, node: ast.AST) -> bool:
        match node:
            case ast.Subscript(value=value):
                return id(node) not in self._augmented and self.key(value) is not None
            case ast.Attribute(value=value, attr="setdefault" | "pop" | "popitem"):
                return self.key(value) is not None
        return False

    def held_back(self) -> Iterator[Change]:
        """What is written to files and databases that hold it back, each to one that was opened here."""
        for node in self.nodes:
            if not isinstance(node, ast.Call):
                continue
            key = self.key(node.func)
            bound = self._made.get(key) if key is not None else None
            if key is not None and isinstance(bound, ast.Attribute) and bound.attr in WRITES:
                if holds_back(bound.value, self._made):
                    yield Change(key, node.lineno)
            elif (file := written_to(node)) is not None and (key := self._holding(file)) is not None:
                yield Change(key, node.lineno)

    def _holding(self, file: ast.expr) -> str | None:
        """The key of what is written to, if that holds back what is: itself, what an object has, one of many."""
        root, path = self._root(file), self._path(file)
        if path is not None and holds_back(self._made.get(path), self._made):
            return path
        if root is None or not any(
            holds_back(self._made.get(each), self._made) for each in (root, entry_of(root))
        ):
            return None
        return root

    @property
    def writes_through(self) -> bool:
        """Whether it flushes or commits at each call, whatever the item is."""
        sometimes = {id(inner) for node in self.nodes if isinstance(node, ast.If) for inner in ast.walk(node)}
        return any(
            id(node) not in sometimes
            and (
                (isinstance(node, ast.Attribute) and node.attr in ("flush", "commit", "fsync"))
                or (isinstance(node, ast.withitem) and self._is_connection(node.context_expr))
                or (isinstance(node, ast.keyword) and node.arg == "flush")
            )
            for node in self.nodes
        )

    def _is_connection(self, node: ast.expr) -> bool:
        made = self._made.get(self._root(node) or "")
        return isinstance(made, ast.Call) and opener(made) == "connect"

    def mentioned(self) -> set[str]:
        """What it uses of `self` and of what is outside; and `ITSELF` where it hands on all of `self`."""
        keys = (self.key(each) for each in self.nodes if isinstance(each, ast.Attribute | ast.Name))
        found = {key for key in keys if key is not None}
        returned = (self._returned(each.func)[0] for each in self.nodes if isinstance(each, ast.Call))
        found |= {key for key in returned if key is not None}
        held = [self._made.get(name) for name in found]
        found |= {
            each.value.attr
            for each in held
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Attribute)
        }
        inside = {
            id(each.value)
            for each in self.nodes
            if isinstance(each, ast.Attribute) and each.attr != "__dict__"
        }
        whole = any(
            isinstance(each, ast.Name) and each.id == self._own and id(each) not in inside
            for each in self.nodes
        )
        return found | ({ITSELF} if whole else set())

    def calls(self) -> Iterator[Called]:
        """The methods of `self` that are called or handed on."""
        calls = {id(each.func): each for each in self.nodes if isinstance(each, ast.Call)}
        for node in self.nodes:
            match node:
                case ast.Attribute(ctx=ast.Load()):
                    above = isinstance(node.value, ast.Call) and dotted_name(node.value.func) == "super"
                    if above or self._is_own(node):
                        yield Called(node.attr, above, calls.get(id(node)))
                    match self._made.get(node.attr) if self._is_own(node) else None:
                        case ast.Attribute(value=ast.Name(), attr=name):
                            yield Called(name)
                case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=name), named, *_]):
                    if name == self._own and (start := start_of(named)):
                        yield Called(start, starts=True)

    def calls_of_parts(self) -> Iterator[tuple[str, str]]:
        """The methods that are called of what is held here: its key and the method, which is empty for itself."""
        called = {id(each.func) for each in self.nodes if isinstance(each, ast.Call)}
        for node in self.nodes:
            key = self.key(node) if isinstance(node, ast.Attribute | ast.Name) else None
            if key is not None:
                yield key, ""
                if id(node) in called:
                    yield key, "__call__"
            match None if key is None else bound_method(self._made.get(key)):
                case ast.Attribute(value=ast.Attribute(value=ast.Name(), attr=attribute), attr=name):
                    yield attribute, name
                case ast.Attribute(value=ast.Name(id=held), attr=name) if root := self._scope.key(held):
                    yield root, name
                case ast.Attribute(value=ast.Call(), attr=name) if key is not None:
                    yield key, name
            match node:
                case ast.Attribute(value=part, attr=name, ctx=ast.Load()) if self._is_whole(part):
                    root = self._root(part)
                    if root is not None and root != ITSELF:
                        yield root, name
                case ast.Attribute(value=part, attr=name, ctx=ast.Load()) if root := self._root(part):
                    yield from ((each, name) for each in entries_of(root, self._made))
                case ast.Call(func=part) if root := self._root(part):
                    yield from ((each, "__call__") for each in entries_of(root, self._made))

    def calls_of_functions(self) -> Iterator[tuple[str, ast.Call | None]]:
        """The functions that are called or handed on, by their dotted names."""
        calls = {id(each.func): each for each in self.nodes if isinstance(each, ast.Call)}
        inside = {id(each.value) for each in self.nodes if isinstance(each, ast.Attribute)}
        for node in self.nodes:
            if not isinstance(node, ast.Name | ast.Attribute) or id(node) in inside:
                continue
            dotted = dotted_name(node)
            if dotted and isinstance(node.ctx, ast.Load) and dotted.split(".")[0] not in self._local:
                yield dotted, calls.get(id(node))
        for node in self.nodes:
            match node:
                case ast.Call(args=[called, *given], keywords=keywords) if is_partial(node):
                    if dotted := dotted_name(called):
                        yield dotted, ast.Call(called, given, keywords)

    def handed_to(self, called: FunctionNode, call: ast.Call, *, bound: bool) -> dict[str, OwnPart]:
        """Say which parameters of `called` stand for what of `self`, or of what is outside."""
        given = given_by(called, call, bound=bound)
        roots = [(name, self._root(value), value) for name, value in given]
        return {name: OwnPart(root, self._is_whole(value)) for name, root, value in roots if root}

    def items_given(self, called: FunctionNode, call: ast.Call, *, bound: bool) -> frozenset[str] | None:
        """Say which parameters of `called` may hold something of an item; None where nobody can tell."""
        if any(isinstance(value, ast.Starred) for value in call.args) or any(
            keyword.arg is None for keyword in call.keywords
        ):
            return None
        given = given_by(called, call, bound=bound)
        return frozenset(name for name, value in given if mentions(value, self.from_items))

    def _changed(self, node: ast.AST) -> str | None:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name in self._declared:
                return self._scope.key(name)
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                return self.key(node) or self._changed_within(node)
            case ast.Subscript(value=ast.Call(func=ast.Name(id="globals")), ctx=ast.Store() | ast.Del()):
                named = node.slice.value if isinstance(node.slice, ast.Constant) else ""
                return self._scope.key(str(named)) or self._scope.elsewhere("globals()")
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                root = self._changed_within(node)
                made = None if root is None else self._made.get(root)
                is_scratch = isinstance(node.slice, ast.Slice) and is_library_object(made)
                return (
                    None if is_elsewhere(made) or (is_scratch and id(node) not in self._augmented) else root
                )
            case ast.AugAssign(target=ast.Attribute() | ast.Subscript() as target) if (
                self._root(target) is None
            ):
                return self._of_another_s_module(target)
            case ast.AugAssign(target=ast.Name() as target):
                root = self._root(target) if self._is_whole(target) else None
                return root if root is not None and is_container(self._made.get(root)) else None
            case ast.Attribute() | ast.Name():
                return self._changed_by_method(node)
            case ast.Call():
                return self._changed_by_call(node)
        return None

    def _of_another_s_module(self, node: ast.expr) -> str | None:
        """The key of what a module has that is not the user's, to which something is added."""
        held = node
        while isinstance(held, ast.Attribute | ast.Subscript):
            held = held.value
        if not isinstance(held, ast.Name):
            return None
        here = (each for each in self.nodes if isinstance(each, ast.Import | ast.ImportFrom))
        imported = any((name.asname or name.name) == held.id for each in here for name in each.names)
        if not imported and (held.id in self._local or not self._scope.is_imported(held.id)):
            return None
        return self._scope.elsewhere(ast.unparse(node))

    def _changed_within(self, node: ast.Attribute | ast.Subscript) -> str | None:
        """What has a part that is set: a setting of a session is none of the user's, and a sum always is."""
        root = self._root(node.value)
        of_attribute = isinstance(node, ast.Attribute) or not self._is_whole(node.value)
        if root is None or id(node) in self._augmented or not of_attribute:
            return root
        return None if is_library_object(self._made.get(root)) else root

    def _changed_by_call(self, node: ast.Call) -> str | None:
        name = (dotted_name(node.func) or "").split(".")[-1]
        first = node.args[0] if node.args else None
        if name in ("setattr", "__setattr__", "delattr") and dotted_name(first) == self._own:
            named = node.args[1] if len(node.args) > 1 else None
            return str(named.value) if isinstance(named, ast.Constant) else ITSELF
        if name == "partial" and len(node.args) > 1 and first is not None:
            applied = (dotted_name(first) or "").split(".")[-1]
            return self._root(node.args[1]) if applied in CHANGE_THEIR_FIRST else None
        if name in CHANGE_THEIR_FIRST and first is not None and not self._is_own(node.func):
            return self._root(first)
        if (total := adds_up(node)) is not None:
            return self._root(total)
        match node.func:
            case ast.Attribute(value=ast.Name(id=cls)) if cls in CONTAINERS and name in MUTATORS:
                return None if first is None else self._root(first)
        return None

    def _changed_by_method(self, node: ast.Attribute | ast.Name) -> str | None:
        """Whoever reads a method that changes things calls it, or hands it to someone who does."""
        if isinstance(node, ast.Attribute) and self._is_whole(node.value):
            root = self._root(node.value)
            if root is not None and advances(self._made.get(root), node.attr) and not self._is_reset(root):
                return root
        if isinstance(node, ast.Attribute) and node.attr in MUTATORS:
            key = self._root(node.value)
            if key is not None and self._mutates(key, node):
                return key
            path = self._path(node.value)
            if path is not None and is_container(self._made.get(path)):
                return path
        key = self.key(node)
        kept = None if key is None else self._made.get(key)
        if not isinstance(kept, ast.Attribute) or kept.attr not in MUTATORS:
            return None
        held = kept.value.attr if isinstance(kept.value, ast.Attribute) else None
        if isinstance(kept.value, ast.Name):
            held = self._scope.key(kept.value.id)
        if held is not None:
            return held if is_container(self._made.get(held)) else None
        return key if is_container(kept.value) else None

    def _is_reset(self, key: str) -> bool:
        """Say whether a context variable is set back."""
        return any(
            isinstance(each, ast.Attribute) and each.attr == "reset" and self._root(each.value) == key
            for each in self.nodes
        )

    def _path(self, node: ast.expr) -> str | None:
        """The key of what an object that is held here has: `stats.words`."""
        match node:
            case ast.Attribute(value=held, attr=attribute) if (key := self.key(held)) is not None:
                return f"{key}.{attribute}"
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in self._aliases:
                return None if name in self._parts else f"{self._aliases[name]}.{attribute}"
        return None

    def _mutates(self, key: str, method: ast.Attribute) -> bool:
        """Say whether a method of this name can't but change what is kept in a container of its own."""
        if key == ITSELF:
            return self._is_container
        made = self._made.get(key)
        if made is None or not is_container(made):
            return False
        return self._is_whole(method.value) or method.attr in OF_CONTAINERS_ALONE or holds_containers(made)

    def _is_whole(self, node: ast.expr) -> bool:
        """Say whether an expression that leads to something is that itself, not a part of it."""
        return self._is_own(node) or (isinstance(node, ast.Name) and node.id not in self._parts)

    def _is_own(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute | ast.Call) and self.key(node) is not None

    def key(self, node: ast.AST) -> str | None:
        """The key of what an expression is: an attribute of `self`, or something outside; None for parts and others."""
        match node:
            case ast.Attribute(value=value, attr=attribute) if self._is_class(value):
                return attribute
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == self._own:
                stands_for = self._made.get(property_of(attribute))
                return str(stands_for.value) if isinstance(stands_for, OwnAttribute) else attribute
            case ast.Call(func=ast.Name(id="vars"), args=[ast.Name(id=name)]) if name == self._own:
                return "__dict__"
            case ast.Call(func=called):
                key, whole = self._returned(called)
                return key if whole else None
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in self._local:
                return self._scope.member(name, attribute)
            case ast.Name(id=name) if name in self._handed:
                return self._handed[name]
            case ast.Name(id=name) if name not in self._local and name != self._own:
                return None if name in self._classes else self._scope.key(name)
        return None

    def _returned(self, called: ast.expr) -> tuple[str | None, bool]:
        """The key of what a method or a function of the user's returns, or returns a part of; and whether it is all."""
        match called:
            case ast.Attribute(value=ast.Name(id=name), attr=method) if name == self._own:
                made = self._made.get(result_name(method))
                if isinstance(made, OwnAttribute):
                    return str(made.value), made.whole
                return (None if made is None else result_name(method)), True
        dotted = dotted_name(called)
        if not dotted or dotted.split(".")[0] in self._local or dotted.split(".")[0] == self._own:
            return None, False
        return self._scope.returned(dotted) or (None, False)

    def _is_class(self, node: ast.expr) -> bool:
        """Say whether it is the class of `self`, or a base of it."""
        match node:
            case ast.Name(id=name):
                return name in self._classes and name not in self._local
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]):
                return name == self._own
            case ast.Attribute(value=ast.Name(id=name), attr="__class__"):
                return name == self._own
        return False

    def _root(self, node: ast.expr) -> str | None:
        """Return the key of what an expression is, or is a part of."""
        match node:
            case ast.Name(id=name) if name == self._own or name in self._aliases:
                return ITSELF if name == self._own else self._aliases[name]
            case ast.Name() | ast.Attribute() | ast.Call() if (key := self.key(node)) is not None:
                return key
            case ast.Attribute(value=value) | ast.Subscript(value=value):
                return self._root(value)
            case ast.IfExp(body=one, orelse=other) if self._root(other):
                return self._root(one)
            case ast.Call(func=called) if (key := self._returned(called)[0]) is not None:
                return key
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in INTO:
                root = self._root(value)
                return None if root and answers_anew(self._made.get(root), method) else root
        return None

    def _read_aliases(self) -> None:
        """Find the local names that stand for something of these, or for a part of one, wherever they are bound."""
        bound: dict[str, set[str | None]] = {}
        assigned = [pair for node in self.nodes for pair in assignments(node)]
        for target, value in assigned:
            if isinstance(target, ast.Name) and target.id not in self._declared:
                bound.setdefault(target.id, set()).add(self._root(value))
                self._parts |= set() if self.key(value) is not None else {target.id}
        looped = [pair for node in self.nodes for pair in loops(node)]
        for target, value in looped:
            bound.setdefault(target.id, set()).add(self._root(value))
            self._parts.add(target.id)
        sure = {id(target) for target, _ in (*assigned, *looped)} | self._augmented
        for node in self.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in sure:
                bound.setdefault(node.id, set()).add(None)
        for name, roots in bound.items():
            if roots.isdisjoint({None, ITSELF}) and name not in self._own_parameters:
                self._aliases[name] = min(filter(None, roots))  # either: one of them is enough to name

    def _made_when_first_needed(self, node: ast.AST) -> Iterator[ast.expr]:
        """The targets of `if self.model is None: self.model = load()`: what is made from no item is nothing to lose."""
        match node:
            case ast.If(test=asked, body=made):
                pass
            case ast.Try(
                body=[asked, *_], handlers=[ast.ExceptHandler(type=ast.Name("AttributeError"), body=made)]
            ):
                pass
            case _:
                return
        names = {each.attr for each in ast.walk(asked) if isinstance(each, ast.Attribute)}
        names |= {each.id for each in ast.walk(asked) if isinstance(each, ast.Name)}
        names |= {
            str(each.value) for each in ast.walk(asked) if isinstance(each, ast.Constant)
        }  # hasattr(self, "model")
        for target, value in (pair for statement in made for pair in assignments(statement)):
            if self._is_kept_as(target, names) and not mentions(value, self.from_items):
                yield target

    def _is_kept_as(self, target: ast.expr, names: set[str]) -> bool:
        match target:
            case ast.Attribute(attr=attribute):
                return attribute in names and self._root(target) is not None
            case ast.Name(id=name):
                return name in names and name in self._declared
        return False

    def _made_of_no_item(self, node: ast.AST) -> Iterator[ast.expr]:
        """The targets of `self.client = connect(self.url)`: whoever comes next makes them as well."""
        for target, value in assignments(node):
            key = self.key(target) or (self._changed(target) if isinstance(target, ast.Name) else None)
            if key is not None and self._is_of_no_item(value, key):
                yield target
        match node:
            case ast.Call(func=ast.Attribute(value=held, attr="update") as method, args=[value]):
                key = self.key(held)
                if key is not None and self._is_of_no_item(value, key):
                    yield method

    def _is_of_no_item(self, value: ast.expr, key: str) -> bool:
        if isinstance(value, ast.Name) and value.id in self._local:
            given = [
                given
                for node in self.nodes
                for target, given in assignments(node)
                if isinstance(target, ast.Name) and target.id == value.id
            ]
            value = given[0] if len(given) == 1 else value
        if isinstance(value, ast.Constant) and value.value is None:  # to be made again when needed
            return isinstance(self._made.get(key), ast.Call) and not is_container(self._made[key])
        if not isinstance(value, ast.Call) or is_container(value) or mentions(value, self.from_items):
            return False
        parts = {id(each.value) for each in ast.walk(value) if isinstance(each, ast.Attribute)}
        inside = [each for each in ast.walk(value) if isinstance(each, ast.expr) and id(each) not in parts]
        return all(self._root(each) not in (key, ITSELF) for each in inside)

    def _read_from_items(self) -> set[str]:
        """The local names that may hold something of an item: parameters, and what is made of them."""
        assigned = [
            pair for node in self.nodes for pair in assignments(node) if isinstance(pair[0], ast.Name)
        ]
        sure = {id(target) for target, _ in assigned}
        inner = (each for each in self.nodes if isinstance(each, ast.FunctionDef | ast.Lambda))
        found = self._arguments.union(*map(parameters_of, inner)) | {
            node.id
            for node in self.nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in sure
        }
        found -= self._declared
        while more := {
            target.id
            for target, value in assigned
            if isinstance(target, ast.Name) and target.id not in found and mentions(value, found)
        }:
            found |= more
        return found
