"""The modules of a package as text and syntax tree, and the imports between them.

Every import counts, wherever it stands: one inside a function or under TYPE_CHECKING couples two
files just as much as one at the top.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path  # As it is shown in findings.
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """True for an `__init__.py`."""
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class Import:
    """One import statement's mention of one module."""

    target: str
    line: int


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or (a warning) that is over the habit."""

    path: Path
    line: int
    rule: str
    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        word = "warning: " if self.is_warning else ""
        return f"{self.path}:{self.line}: {word}{self.rule}: {self.text}"


def read_modules(root: Path, package: str) -> dict[str, Module]:
    """Return every module of `root`/src/`package` by its dotted name."""
    source = root / "src"
    modules = {}
    for path in sorted((source / package).rglob("*.py")):
        words = list(path.relative_to(source).with_suffix("").parts)
        if words[-1] == "__init__":
            words.pop()
        text = path.read_text(encoding="utf-8")
        name = ".".join(words)
        modules[name] = Module(name, path.relative_to(root), text, ast.parse(text, str(path)))
    return modules


def imports(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """Yield the imports in `module` of anything in its own package."""
    package = module.name.partition(".")[0]
    for target, line in _mentions(module):
        # `from a import b` means the module a.b if there is one, else the name b of the module a.
        found = target if target in modules else target.rpartition(".")[0]
        if found == package or found.startswith(package + "."):
            yield Import(found, line)


def _mentions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield (dotted name of a module or of a name in it, line)."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # The dot makes it a name *in* the module, whether or not that file exists yet.
                yield (alias.name + ".*", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield (f"{_origin(module, node)}.{alias.name}", node.lineno)
        elif isinstance(node, ast.Call) and _is_import_call(node.func):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield (argument.value + ".*", node.lineno)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """Return the dotted name after `from`, with the dots of a relative import resolved."""
    if not node.level:
        return node.module or ""
    climb = node.level - 1 if module.is_package else node.level
    words = module.name.split(".")
    return ".".join([*words[: len(words) - climb], *filter(None, [node.module])])


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}
