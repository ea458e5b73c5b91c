"""The rules about one file alone: questions about the system, sizes, names, unfinished work."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tools.layers.modules import Finding, Module
from tools.layers.rows import Layout

# Over the habit is a warning: some things are best said in one piece. Over the limit is an error.
FILE_LINES_HABIT, FILE_LINES_LIMIT = 400, 600
FUNCTION_LINES_HABIT, FUNCTION_LINES_LIMIT = 70, 100

VAGUE_WORDS = {"manager", "helper", "util", "data", "info"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")

# Attributes that answer "which system is this?", and modules that only some systems have.
SYSTEM_ANSWERS = {
    "sys.platform", "sys.getwindowsversion", "os.name", "os.uname", "platform.system",
    "platform.uname", "platform.platform", "platform.release", "platform.win32_ver",
    "platform.mac_ver", "ctypes.windll", "ctypes.oledll", "ctypes.WinDLL", "ctypes.WINFUNCTYPE",
    "ctypes.wintypes", "ctypes.GetLastError", "ctypes.WinError",
}  # fmt: skip
SYSTEM_MODULES = {"_overlapped", "_winapi", "msvcrt", "winreg", "fcntl", "ctypes.wintypes"}
# Modules whose content differs by system: `hasattr(select, "epoll")` is the same question.
VARYING_MODULES = {"select", "os", "socket", "signal"}


def check_system_questions(layout: Layout, module: Module) -> Iterator[Finding]:
    """Only a row that `asks_os` asks which operating system this is."""
    row = layout.row(module.name)
    if row is not None and row.asks_os:
        return
    owners = ", ".join(row.name for row in layout.rows if row.asks_os)
    for question, line in sorted(set(_questions(module.tree)), key=lambda found: found[1]):
        text = f"{question} asks about the operating system; only {owners} may"
        yield Finding(module.path, line, "system", text)


def _questions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    names = _imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            mentions = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            mentions = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Attribute):
            mentions = [_full_name(node, names)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"hasattr", "getattr"}:
            # getattr without a default raises instead of asking.
            asks = getattr(node.func, "id", "") == "hasattr" or len(node.args) == 3
            if asks and node.args and _full_name(node.args[0], names) in VARYING_MODULES:
                yield (ast.unparse(node), node.lineno)
            continue
        else:
            continue
        for mention in mentions:
            if mention in SYSTEM_ANSWERS | SYSTEM_MODULES:
                yield (mention, node.lineno)


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each name bound by an import stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value, names)}.{node.attr}"
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def check_sizes(module: Module) -> Iterator[Finding]:
    """A file fits in the head, a function on the screen."""
    lines = len(module.text.splitlines())
    if lines > FILE_LINES_HABIT:
        yield _size(module, 1, "file", lines, FILE_LINES_HABIT, FILE_LINES_LIMIT)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_HABIT:
                what = f"{node.name}()"
                habit, limit = FUNCTION_LINES_HABIT, FUNCTION_LINES_LIMIT
                yield _size(module, node.lineno, what, lines, habit, limit)


def _size(module: Module, line: int, what: str, lines: int, habit: int, limit: int) -> Finding:
    text = f"{what} has {lines} lines; the habit is {habit}, the limit {limit}"
    return Finding(module.path, line, "size", text, is_warning=lines <= limit)


def check_names(module: Module) -> Iterator[Finding]:
    """A file and a class are named by what they are; some words say nothing about that."""
    for name in module.name.split(".")[1:]:
        yield from _vague(module, 1, name)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            yield from _vague(module, node.lineno, node.name)


def _vague(module: Module, line: int, name: str) -> Iterator[Finding]:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    for word in words:
        if word.lower().removesuffix("s") in VAGUE_WORDS:
            yield Finding(module.path, line, "names", f'"{word}" in {name} says nothing')


def check_finished(module: Module) -> Iterator[Finding]:
    """No comment promises work: what is not done is an issue, or is left out."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT and UNFINISHED.search(token.string):
            yield Finding(module.path, token.start[0], "finished", token.string)
