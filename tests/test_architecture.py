"""The rules of the house, kept by tests.

A source tree is read into `Module` values; a rule is a function that yields one line
for each place that breaks it. Every rule is asked about the real tree, and then about
small planted trees: a rule that lets its own plant pass is no rule.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rule = Callable[["Tree"], Iterator[str]]
    Plant = tuple[str, str]

# --- the law, as tables


def broker(*names: str) -> set[str]:
    return {f"warren_broker.{name}" for name in names}


# The floors, lowest first: each layer, and what it may import besides itself. Storage
# and the front ends do not see each other, only the server knows both; of the library
# the broker sees the codec and the errors; its shell commands, and the fixture that
# tests connect to, see the client.
BASE = {"warren.errors", "warren.wire"}
CLIENT = BASE | {"warren.protocol", "warren.bodies", "warren._client"}
WORKER = CLIENT | {"warren._worker"}
FRONT_END = BASE | broker("core")
SERVER = FRONT_END | broker("storage", "amqp", "management")
PROGRAM = SERVER | broker("server", "config", "log")
FLOORS = {
    "warren.errors": set[str](),
    "warren.wire": {"warren.errors"},
    "warren_broker.core": {"warren.errors"},
    "warren_broker.storage": {"warren.errors", "warren_broker.core"},
    "warren_broker.amqp": FRONT_END,
    "warren_broker.management": FRONT_END,
    "warren_broker.server": SERVER,
    "warren_broker.testing": PROGRAM | CLIENT,
    "warren_broker.log": PROGRAM,
    "warren_broker.config": PROGRAM,
    "warren_broker": PROGRAM,
    "warren_broker.cli": PROGRAM | WORKER | {"warren_broker"},
    "warren.protocol": BASE,
    "warren.bodies": {"warren.errors"},
    "warren._client": CLIENT,
    "warren._worker": WORKER,
    "warren.blocking": CLIENT,
    "warren.testing": CLIENT | {"warren"},
    "warren": WORKER | {"warren.blocking", "warren.testing"},
}
OURS = {"warren", "warren_broker"}
STANDARD_LIBRARY = {*sys.stdlib_module_names, "warren"}
# All that happens inside a turn: it never awaits and is told the time.
SYNCHRONOUS = (
    FRONT_END | {"warren.protocol", "warren.bodies"} | broker("storage", "amqp")
)
SHELLS = {
    *("warren._client", "warren._worker", "warren.blocking", "warren.testing"),
    *broker("server", "testing", "cli"),
}
# A package, and the only layers that may use it.
ONLY_IN = {"trio": SHELLS, "time": FLOORS.keys() - SYNCHRONOUS}
# What `import warren` leaves alone.
HEAVY = {"warren_broker", "trio", "hypercorn", "starlette"}

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
HOT_LOOP_LINES_MAX = 80
HOT_LOOP_MARK = "# hot loop: may be up to 80 lines"
# A banned name, and the layers that may use it all the same.
BANNED_NAMES = {
    "time.time": set[str](),
    "datetime.now": set[str](),
    "print": {"warren_broker.cli"},
}
# Source roots are not packages: these imports work in a checkout and nowhere else.
SOURCE_ROOTS = ("client", "broker")

# --- a source tree

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported name; `from package import name` may mean `package.name`."""

    line: int
    package: str
    name: str
    at_load: bool  # as the module loads: in no function, not for type checkers only

    @property
    def root(self) -> str:
        return self.package.split(".")[0]


@dataclass(frozen=True)
class Module:
    """One Python file: where it is, what it is called, what it says."""

    place: str
    name: str
    text: str

    @property
    def layer(self) -> str:
        return layer_of(self.name)

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file; an empty one if it does not parse, as another rule says."""
        try:
            return ast.parse(self.text)
        except SyntaxError:
            return ast.Module([], [])

    @property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def imports(self) -> list[Import]:
        later = {
            inner
            for outer in ast.walk(self.tree)
            if isinstance(outer, Function)
            or (isinstance(outer, ast.If) and "TYPE_CHECKING" in dotted(outer.test))
            for statement in outer.body
            for inner in ast.walk(statement)
        }
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    package, name = alias.name, ""
                    if isinstance(node, ast.ImportFrom):
                        package, name = self._source(node), alias.name
                    found.append(Import(node.lineno, package, name, node not in later))
        return found

    def _source(self, node: ast.ImportFrom) -> str:
        """What stands between `from` and `import`, made absolute."""
        is_package = self.place.endswith("__init__.py")
        package = self.name if is_package else self.name.rpartition(".")[0]
        return resolve_name("." * node.level + (node.module or ""), package)

    def at(self, line: int, complaint: str) -> str:
        return f"{self.place}:{line}: {complaint}"


class Tree:
    """The Python files under the source roots of one checkout."""

    def __init__(self, root: Path, *source_roots: str) -> None:
        self.root = root
        self.modules = [
            module
            for source_root in source_roots or SOURCE_ROOTS
            for module in self._read(root / source_root)
        ]
        self.names = {module.name for module in self.modules}

    def _read(self, source_root: Path) -> Iterator[Module]:
        for path in sorted(source_root.rglob("*.py")):
            place = str(path.relative_to(self.root))
            words = path.relative_to(source_root).with_suffix("").parts
            name = ".".join(words).removesuffix(".__init__")
            yield Module(place, name, path.read_text(encoding="utf-8"))

    def imports(self) -> Iterator[tuple[Module, Import]]:
        return ((module, each) for module in self.modules for each in module.imports)

    def target(self, imported: Import) -> str:
        """The module an import loads."""
        inner = f"{imported.package}.{imported.name}"
        return inner if inner in self.names else imported.package


def layer_of(name: str) -> str:
    """`warren.wire` of `warren.wire.table`: what the table of floors speaks of."""
    return ".".join(name.split(".")[:2])


def dotted(node: ast.AST) -> str:
    """`datetime.datetime.now` as written; names end where other expressions begin."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# --- the rules


def modules_import_lower_floors(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        if module.layer not in FLOORS:
            yield module.at(1, "stands on no floor")
    for module, imported in tree.imports():
        target = layer_of(tree.target(imported))
        allowed = {module.layer} | FLOORS.get(module.layer, set())
        if imported.root in OURS and target not in allowed:
            yield module.at(imported.line, f"may not import {target}")


def base_floor_is_standard_library(tree: Tree) -> Iterator[str]:
    for module, imported in tree.imports():
        if module.layer in BASE and imported.root not in STANDARD_LIBRARY:
            yield module.at(imported.line, f"may not use {imported.root}")


def packages_are_used_where_they_may(tree: Tree) -> Iterator[str]:
    for module, imported in tree.imports():
        if module.layer not in ONLY_IN.get(imported.root, {module.layer}):
            yield module.at(imported.line, f"may not use {imported.root}")


def turns_are_synchronous(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        for function in module.functions if module.layer in SYNCHRONOUS else ():
            if isinstance(function, ast.AsyncFunctionDef):
                yield module.at(function.lineno, f"async def {function.name}")


def no_import_cycles(tree: Tree) -> Iterator[str]:
    graph = {
        module.name: {tree.target(each) for each in module.imports if each.at_load}
        for module in tree.modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield " imports ".join(reversed(error.args[1]))


def modules_are_short(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        lines = len(module.text.splitlines())
        if lines > MODULE_LINES_MAX:
            yield module.at(lines, f"{lines} lines")


def functions_are_short(tree: Tree) -> Iterator[str]:
    hot_loops = 0
    for module in tree.modules:
        text = module.text.splitlines()
        for function in module.functions:
            mark = text[max(0, function.lineno - 2) : function.lineno]
            is_hot = any(HOT_LOOP_MARK in line for line in mark)
            hot_loops += is_hot
            if is_hot and hot_loops > 1:
                yield module.at(function.lineno, "a second hot loop")
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > (HOT_LOOP_LINES_MAX if is_hot else FUNCTION_LINES_MAX):
                yield module.at(function.lineno, f"{function.name} has {lines} lines")


def no_banned_names(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        banned = {n for n, layers in BANNED_NAMES.items() if module.layer not in layers}
        nodes = ast.walk(module.tree)
        uses = [(n.lineno, dotted(n)) for n in nodes if isinstance(n, ast.expr)]
        uses += [(each.line, f"{each.package}.{each.name}") for each in module.imports]
        for line, name in uses:
            if name in banned or ".".join(name.split(".")[-2:]) in banned:
                yield module.at(line, f"uses {name}")


def source_roots_are_not_packages(tree: Tree) -> Iterator[str]:
    everything = Tree(tree.root, *SOURCE_ROOTS, "tests", "examples")
    for module, imported in everything.imports():
        if imported.root in SOURCE_ROOTS:
            yield module.at(imported.line, f"imports {imported.root}")


def every_module_says_what_it_is(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        if not ast.get_docstring(module.tree):
            yield module.at(1, "has no docstring")


def every_module_compiles(tree: Tree) -> Iterator[str]:
    for module in tree.modules:
        try:
            with warnings.catch_warnings(action="error"):
                compile(module.text, module.place, "exec", dont_inherit=True)
        except SyntaxError as error:
            yield module.at(error.lineno or 1, error.msg)


def importing_the_library_is_light(tree: Tree) -> Iterator[str]:
    script = "import sys, warren; print(*(n.split('.')[0] for n in sys.modules))"
    env = os.environ | {"PYTHONPATH": str(tree.root / "client")}
    loaded = subprocess.check_output([sys.executable, "-c", script], env=env, text=True)
    for name in sorted(HEAVY.intersection(loaded.split())):
        yield f"import warren loads {name}"


# --- the rules again: what each must catch (complaint: file, text) and let pass

CORE = "broker/warren_broker/core/x.py"
AMQP = "broker/warren_broker/amqp/x.py"
SHELL = "broker/warren_broker/server/x.py"
CLI = "broker/warren_broker/cli/x.py"
LIBRARY = "client/warren/__init__.py"
WIRE = "client/warren/wire/x.py"
LINES = "    pass\n"
HOT = f"{HOT_LOOP_MARK}\ndef f():\n"

CATCH: dict[Rule, dict[str, list[Plant]]] = {
    modules_import_lower_floors: {
        "core/x.py:1: may not import warren.wire": [(CORE, "import warren.wire.y")],
        "x.py:2: may not import warren_broker.amqp": [(CORE, "\nfrom ..amqp import x")],
        "not import warren_broker.storage": [(AMQP, "import warren_broker.storage")],
        "may not import warren_broker": [(WIRE, "def f(): import warren_broker")],
        "may not import warren": [(SHELL, "from warren import connect")],
        "stands on no floor": [("client/warren/attic.py", "")],
    },
    base_floor_is_standard_library: {"may not use attrs": [(WIRE, "import attrs")]},
    packages_are_used_where_they_may: {
        "x.py:1: may not use trio": [(CORE, "from trio.abc import Stream")],
        "x.py:1: may not use time": [(AMQP, "import time")],
    },
    turns_are_synchronous: {"async def f": [(CORE, "async def f(): ...")]},
    no_import_cycles: {
        "imports warren.wire": [
            (WIRE, "if True:\n    from . import y"),
            ("client/warren/wire/y.py", "import warren.wire.x"),
        ],
    },
    modules_are_short: {"401 lines": [(CORE, "\n" * 401)]},
    functions_are_short: {
        "f has 61 lines": [(CORE, "def f():\n" + LINES * 60)],
        "f has 81 lines": [(CORE, HOT + LINES * 80)],
        "a second hot loop": [(CORE, HOT + LINES), (AMQP, HOT + LINES)],
    },
    no_banned_names: {
        "uses time.time": [(SHELL, "from time import time")],
        "2: uses datetime.datetime.now": [(CLI, "\ndatetime.datetime.now()")],
        "uses print": [(CORE, "print()")],
    },
    source_roots_are_not_packages: {
        "imports broker": [("tests/core/test_x.py", "import broker.warren_broker")],
        "imports client": [("examples/x.py", "from client import warren")],
    },
    every_module_says_what_it_is: {"no docstring": [(CORE, "# a comment")]},
    every_module_compiles: {
        "outside function": [(CORE, "return")],
        "invalid escape": [(CORE, "'\\d'")],
    },
    importing_the_library_is_light: {"loads trio": [(LIBRARY, "import trio")]},
}

PASS: list[tuple[Rule, str, str]] = [
    (modules_import_lower_floors, CLI, "from warren._client import connection"),
    (no_import_cycles, WIRE, "def f():\n    import warren.wire.x"),
    (no_import_cycles, WIRE, "if TYPE_CHECKING:\n    import warren.wire.x"),
    (functions_are_short, CORE, HOT + LINES * 79),
    (no_banned_names, CLI, "print()"),
    (no_banned_names, CORE, "'time.time()'\nconsole.print()"),
]


def plant(root: Path, files: list[Plant]) -> Tree:
    for place, text in files:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    return Tree(root)


@pytest.fixture(scope="module")
def checkout() -> Tree:
    tree = Tree(Path(__file__).parent.parent)
    assert tree.names >= OURS
    return tree


@pytest.mark.parametrize("rule", CATCH)
def test_the_tree_obeys(rule: Rule, checkout: Tree) -> None:
    assert list(rule(checkout)) == []


@pytest.mark.parametrize(
    ("rule", "complaint"), [(rule, each) for rule in CATCH for each in CATCH[rule]]
)
def test_a_rule_catches(rule: Rule, complaint: str, tmp_path: Path) -> None:
    found = list(rule(plant(tmp_path, CATCH[rule][complaint])))
    assert [each for each in found if complaint in each], found


@pytest.mark.parametrize(("rule", "place", "text"), PASS)
def test_a_rule_lets_pass(rule: Rule, place: str, text: str, tmp_path: Path) -> None:
    assert list(rule(plant(tmp_path, [(place, text)]))) == []
