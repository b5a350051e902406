"""What the attributes of a class are made with, read from its source: a list of its own, a file, what it was given."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from runner.handlers.inspection.names import Class, FunctionNode, dotted_name
from runner.handlers.inspection.signatures import Ancestor, decorators

CONTAINERS = frozenset(
    [
        "list",
        "dict",
        "set",
        "bytearray",
        "deque",
        "Counter",
        "defaultdict",
        "OrderedDict",
        "array",
        "StringIO",
        "BytesIO",
        "Queue",
        "LifoQueue",
        "PriorityQueue",
        "SimpleQueue",
        "sorted",
    ]
)
_ELSEWHERE = (
    "open",
    "connect",
    "memmap",
    "Redis",
    "StrictRedis",
    "MongoClient",
    "SqliteDict",
    "Cache",
    "Index",
)
"""What they make has its entries on a disk, or in another process."""
_HOLDS_ATTRIBUTES = ("SimpleNamespace", "Namespace", "local")
_HOLD_BACK = frozenset(
    [
        "open",
        "connect",
        "writer",
        "DictWriter",
        "ParquetWriter",
        "ZipFile",
        "GzipFile",
        "BZ2File",
        "LZMAFile",
        "TextIOWrapper",
        "BufferedWriter",
        "Popen",
    ]
)
_COMMITS_EACH = ("duckdb",)
_CACHES = frozenset({"cache", "lru_cache"})
_SCREEN = ("sys.stdout", "sys.stderr", "sys.stdout.buffer", "sys.stderr.buffer")
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


class OwnInstance(ast.Call):
    """The making of an object whose class is one of the user's, whatever its name."""

    def __init__(self, call: ast.Call, answers: frozenset[str]) -> None:
        """`answers` are the methods of which is known that they return no part of it."""
        super().__init__(call.func, call.args, call.keywords)
        self.answers = answers


def answers_anew(made: ast.expr | None, method: str) -> bool:
    """Say whether what a method of an object returns is no part of that."""
    return isinstance(made, OwnInstance) and method in made.answers


def answers_of(lineage: Iterable[Ancestor]) -> frozenset[str]:
    """Return the methods of a class that return nothing of a container that an instance has."""
    ancestors = list(lineage)
    made, found = made_by(ancestors), dict[str, bool]()
    for each in ancestors:
        methods = each.node.body if isinstance(each, Class) else ()
        for method in (node for node in methods if isinstance(node, ast.FunctionDef)):
            value = returned(method)
            held = None if value is None else _attribute_led_to(value, first_parameter(method))
            found.setdefault(method.name, value is not None and not is_container(made.get(held or "")))
    return frozenset(name for name, anew in found.items() if anew)


def _attribute_led_to(value: ast.expr, own: str | None) -> str | None:
    """The attribute of `self` of which `value` may be a part."""
    held = value
    while isinstance(held, ast.Subscript | ast.Attribute | ast.Call):
        if isinstance(held, ast.Attribute) and dotted_name(held.value) == own:
            return held.attr
        held = held.func if isinstance(held, ast.Call) else held.value
    return None


class OwnGenerator(ast.Call):
    """The call of a generator function of the user's: what it makes remembers all that it has done."""


def made_by(lineage: Iterable[Ancestor]) -> dict[str, ast.expr]:
    """Return what each attribute is first made with: by `__init__`, else by another method or in the class body."""
    nodes = [each.node for each in lineage if isinstance(each, Class)]
    return first_made(pair for node in nodes for pair in (*_set_by_methods(node), *_set_in_body(node)))


def first_made(assigned: Iterable[tuple[str, ast.expr]]) -> dict[str, ast.expr]:
    """Return what each name is first set to; where that is None, what is made later, a file before all else."""
    made, empty = dict[str, ast.expr](), set[str]()
    for name, value in assigned:
        before = made.setdefault(name, value)
        if isinstance(before, ast.Constant) and before.value is None:
            empty.add(name)
            if isinstance(value, ast.Call) or is_container(value):
                made[name] = value
        elif name in empty and holds_back(value, {}) and not holds_back(before, {}):
            made[name] = value
    return made


def shared_by_instances(lineage: Iterable[Ancestor]) -> frozenset[str]:
    """Return what is made in the class body, and no instance has of its own."""
    classes = [each.node for each in lineage if isinstance(each, Class)]
    if any(_sets_by_name(each) for each in classes):
        return frozenset()
    shared = {name for each in classes for name in _shared_in_body(each)}
    return frozenset(shared.difference(*map(_set_on_instances, classes)))


def _shared_in_body(node: ast.ClassDef) -> Iterator[str]:
    """Decorators and bases may make instances have what is annotated: a dataclass does."""
    sure = not node.decorator_list and not node.bases
    for statement in node.body:
        if isinstance(statement, ast.Assign) or sure:
            for target, value in assignments(statement):
                if isinstance(target, ast.Name) and (isinstance(value, ast.Constant) or is_container(value)):
                    yield target.id


def _set_on_instances(node: ast.ClassDef) -> set[str]:
    return {
        inner.attr
        for method in node.body
        if isinstance(method, ast.FunctionDef) and "classmethod" not in decorators(method)
        for inner in ast.walk(method)
        if isinstance(inner, ast.Attribute) and not isinstance(inner.ctx, ast.Load)
        if dotted_name(inner.value) == (first_parameter(method) or "")
    }


def _sets_by_name(node: ast.ClassDef) -> bool:
    return any(
        (isinstance(inner, ast.Attribute) and inner.attr in ("__dict__", "__setattr__"))
        or (isinstance(inner, ast.Name) and inner.id in ("setattr", "vars"))
        for inner in ast.walk(node)
    )


def _set_by_methods(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    for method in sorted(methods, key=lambda each: each.name not in ("__init__", "__post_init__")):
        own, local = first_parameter(method), {**_containers_given(method), **_containers_in(method)}
        for statement in ast.walk(method):
            for target, value in assignments(statement):
                match target:
                    case ast.Attribute(attr=name) if dotted_name(target.value) == own:
                        yield name, _by_its_making(value, local)
                    case ast.Subscript(value=ast.Attribute(attr=name) as held):
                        if dotted_name(held.value) == own:
                            yield entry_of(name), value
        yield from _returned_by(method)


def _returned_by(method: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """What a method returns that outlives it: an attribute, or what it made once, where it is cached."""
    value, decorated = returned(method), decorators(method)
    if value is not None and "cached_property" in decorated:
        yield method.name, value
    elif value is not None and "property" in decorated:
        if (found := _attribute_in(value, first_parameter(method))) is not None and found.whole:
            yield property_of(method.name), found
    elif value is not None:
        if decorated & _CACHES:
            yield result_name(method.name), value
        elif (found := _attribute_in(value, first_parameter(method))) is not None:
            yield result_name(method.name), found


class OwnAttribute(ast.Constant):
    """The name of an attribute of `self` that a method returns, or of which it returns a part."""

    def __init__(self, value: str, *, whole: bool) -> None:
        super().__init__(value)
        self.whole = whole


def _attribute_in(value: ast.expr, own: str | None) -> OwnAttribute | None:
    held = value
    while isinstance(held, ast.Subscript) or (
        isinstance(held, ast.Attribute) and dotted_name(held.value) != own
    ):
        held = held.value
    return OwnAttribute(held.attr, whole=held is value) if isinstance(held, ast.Attribute) else None


def entry_of(name: str) -> str:
    """Return the name under which is noted what the entries of a container are made with."""
    return f"{name}[]"


def entries_in(value: ast.expr) -> Iterator[ast.expr]:
    """List what the entries of a container are made with, where that makes them as well."""
    match value:
        case (
            ast.List(elts=entries)
            | ast.Set(elts=entries)
            | ast.Tuple(elts=entries)
            | ast.Dict(values=entries)
        ):
            yield from entries
        case ast.ListComp(elt=entry) | ast.SetComp(elt=entry) | ast.DictComp(value=entry):
            yield entry
        case ast.Call(args=[ast.Name() | ast.Attribute() as entry]) if opener(value) == "defaultdict":
            yield ast.Call(entry, [], [])


def makings(value: ast.expr | None) -> Iterator[ast.Call]:
    """List the calls one of which makes what an expression is: `given or Total()`."""
    match value:
        case ast.Call():
            yield value
        case ast.BoolOp(values=values):
            yield from (call for each in values for call in makings(each))
        case ast.IfExp(body=one, orelse=other):
            yield from (*makings(one), *makings(other))


def entries_of(name: str, made: Iterable[str]) -> list[str]:
    """List the names under which is noted what the entries of a container are made with."""
    return [each for each in made if each.startswith(f"{name}[")]


def loops(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    """List the names that a loop binds, each with what it binds an entry of."""
    match node:
        case ast.For(target=target, iter=held) | ast.comprehension(target=target, iter=held):
            yield from _entries_bound(target, held)


def _entries_bound(target: ast.expr, held: ast.expr) -> Iterator[tuple[ast.Name, ast.expr]]:
    match target, held:
        case ast.Name(), ast.Call(func=ast.Attribute(value=whole, attr="values"), args=[]):
            yield target, whole
        case ast.Tuple(elts=[_, ast.Name() as one]), ast.Call(func=ast.Attribute(value=whole, attr="items")):
            yield one, whole
        case ast.Tuple(elts=[_, one]), ast.Call(func=ast.Name(id="enumerate"), args=[whole, *_]):
            yield from _entries_bound(one, whole)
        case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=several):
            for one, whole in zip(targets, several, strict=False):
                yield from _entries_bound(one, whole)
        case _, ast.Call(func=ast.Name(id="list" | "tuple" | "reversed" | "sorted"), args=[whole, *_]):
            yield from _entries_bound(target, whole)
        case ast.Name(), ast.Name() | ast.Attribute() | ast.Subscript():
            yield target, held


def result_name(name: str) -> str:
    """Return the name under which is noted what a function or a method returns."""
    return f"{name}()"


def property_of(name: str) -> str:
    """Return the name under which is noted what a property is."""
    return f"@{name}"


def is_cached(node: FunctionNode) -> bool:
    """Say whether a function runs once for all calls that are alike."""
    return bool(decorators(node) & _CACHES)


def returned(node: FunctionNode) -> ast.expr | None:
    """Return what a function returns, where all of its returns say the same: with a local name by what that is made."""
    if isinstance(node, ast.Lambda):
        return node.body
    inside = [each for statement in node.body for each in own_nodes(statement)]
    values = [each.value for each in inside if isinstance(each, ast.Return) and each.value is not None]
    if len({ast.dump(each) for each in values}) != 1 or has_yield(node):
        return None
    name = values[0].id if isinstance(values[0], ast.Name) else None
    made = [value for each in inside for target, value in assignments(each) if dotted_name(target) == name]
    declared = {each for statement in inside if isinstance(statement, ast.Global) for each in statement.names}
    return made[0] if name is not None and name not in declared and len(made) == 1 else values[0]


def has_yield(node: FunctionNode) -> bool:
    """Say whether a function is a generator's."""
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for part in body for each in own_nodes(part))


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """List it and all that is in it, but nothing of a function or class in it."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for inner in ast.iter_child_nodes(node):
            yield from own_nodes(inner)


def _containers_in(method: FunctionNode) -> dict[str, ast.expr]:
    """The local names that stand for one new container, and for nothing else."""
    stored = [
        node.id for node in ast.walk(method) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    return {
        target.id: value
        for statement in ast.walk(method)
        for target, value in assignments(statement)
        if isinstance(target, ast.Name) and stored.count(target.id) == 1 and is_container(value)
        if target.id not in parameters_of(method)
    }


def _containers_given(method: FunctionNode) -> dict[str, ast.expr]:
    """The parameters that are made once, as a default, and are the same container each time."""
    return {name: value for name, value in defaults_of(method) if is_container(value)}


def defaults_of(node: FunctionNode) -> Iterator[tuple[str, ast.expr]]:
    """List the parameters that have a default, with it."""
    positional = [*node.args.posonlyargs, *node.args.args]
    if node.args.defaults:
        for arg, value in zip(positional[-len(node.args.defaults) :], node.args.defaults, strict=True):
            yield arg.arg, value
    for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is not None:
            yield arg.arg, default


def _by_its_making(value: ast.expr, local: Mapping[str, ast.expr]) -> ast.expr:
    """The same, where it is a local container or a method of one: with the container in the place of its name."""
    match value:
        case ast.Name(id=name):
            return local.get(name, value)
        case ast.Attribute(value=ast.Name(id=name), attr=method) if name in local:
            return ast.Attribute(local[name], method, ast.Load())
    return value


def _set_in_body(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for statement in node.body:
        for target, value in assignments(statement):
            if isinstance(target, ast.Name):
                factory = [
                    keyword.value
                    for keyword in (value.keywords if isinstance(value, ast.Call) else ())
                    if keyword.arg == "default_factory"
                ]
                yield target.id, ast.Call(factory[0], [], []) if factory else value


def assignments(statement: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield target, value
        case ast.NamedExpr(target=target, value=value):
            yield target, value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """`a, b = 1, 2` is two assignments; of `a, b = pair` nobody knows what each gets."""
    if not isinstance(target, ast.Tuple):
        yield target, value
    elif isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
        for one, its_value in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its_value)


def first_parameter(node: FunctionNode) -> str | None:
    parameters = [*node.args.posonlyargs, *node.args.args]
    return parameters[0].arg if parameters else None


def parameters_of(node: FunctionNode) -> set[str]:
    args = node.args
    rest = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return {arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, *rest)}


def given_by(called: FunctionNode, call: ast.Call, *, bound: bool) -> Iterator[tuple[str, ast.expr]]:
    """List the parameters of a function that a call gives, with what it gives."""
    known = parameters_of(called)
    yield from (
        (keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg in known and keyword.arg
    )
    names = [arg.arg for arg in (*called.args.posonlyargs, *called.args.args)][1 if bound else 0 :]
    if not any(isinstance(value, ast.Starred) for value in call.args):
        yield from zip(names, call.args, strict=False)


def is_container(made: ast.expr | None) -> bool:
    """Say whether an expression may give something of the library's that others can be put into."""
    match made:
        case OwnInstance():
            return False
        case ast.BoolOp(values=values):  # `given or []`
            return any(map(is_container, values))
        case ast.IfExp(body=one, orelse=other):
            return is_container(one) or is_container(other)
        case ast.BinOp(left=one, op=ast.Add() | ast.Mult() | ast.BitOr(), right=other):
            return is_container(one) or is_container(other)
    if isinstance(made, _DISPLAYS):
        return True
    return isinstance(made, ast.Call) and (dotted_name(made.func) or "").split(".")[-1] in CONTAINERS


def holds_containers(made: ast.expr) -> bool:
    """Say whether what is in it is a container of its own again: `defaultdict(set)`."""
    return isinstance(made, ast.Call) and any(
        (dotted_name(each) or "").split(".")[-1] in CONTAINERS for each in made.args
    )


def is_elsewhere(made: ast.expr | None) -> bool:
    """Say whether entries of it are no memory of the worker's: it was given to the constructor, or is on a disk."""
    return isinstance(made, ast.Name) or (
        isinstance(made, ast.Call) and (opener(made) or "").split(".")[-1].endswith(_ELSEWHERE)
    )


def is_library_object(made: ast.expr | None) -> bool:
    """Say whether its attributes are the matter of a library, as those of a session are."""
    called = opener(made) if isinstance(made, ast.Call) and not isinstance(made, OwnInstance) else None
    return called is not None and not is_container(made) and called.split(".")[-1] not in _HOLDS_ATTRIBUTES


def holds_back(made: ast.expr | None, made_of: Mapping[str, ast.expr]) -> bool:
    """Say whether what was opened keeps what is written to it until it is flushed, committed or closed."""
    if not isinstance(made, ast.Call):
        return False
    at_once = {keyword.arg for keyword in made.keywords} & {"buffering", "isolation_level", "autocommit"}
    if at_once or len(made.args) > 2 or (dotted_name(made.func) or "").startswith(_COMMITS_EACH):
        return False
    first = made.args[0] if made.args else None
    if opener(made) in ("writer", "DictWriter") and first is not None:
        return _is_held_back_in(first, made_of)
    return opener(made) in _HOLD_BACK


def _is_held_back_in(file: ast.expr, made_of: Mapping[str, ast.expr]) -> bool:
    """The same of what a writer of rows writes to."""
    if dotted_name(file) in _SCREEN:
        return False
    name = file.attr if isinstance(file, ast.Attribute) else dotted_name(file)
    known = made_of.get(name or "") or next(
        (value for key, value in made_of.items() if name and key.endswith(f">.{name}")), file
    )
    return holds_back(known, made_of) if isinstance(known, ast.Call) else True


def opens_database(made: ast.expr | None) -> bool:
    return isinstance(made, ast.Call) and opener(made) == "connect"


def commits_each(node: ast.AST) -> bool:
    """Say whether something of it has a database commit each statement: `connection.autocommit = True`."""
    return any(
        isinstance(inner, ast.Attribute)
        and inner.attr in ("autocommit", "isolation_level")
        and isinstance(inner.ctx, ast.Store)
        for inner in ast.walk(node)
    )


def opener(made: ast.Call) -> str | None:
    return made.func.attr if isinstance(made.func, ast.Attribute) else dotted_name(made.func)
