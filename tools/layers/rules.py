"""The rules about who imports whom: rows, strangers, cycles, and files that nobody imports."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

from tools.layers.modules import Finding, Import, Module, imports
from tools.layers.rows import Layout


def check_rows(layout: Layout, modules: dict[str, Module]) -> Iterator[Finding]:
    """A module stands in a row, and imports its own row and the rows below."""
    for module in modules.values():
        if layout.rank(module.name) is None:
            text = f"{module.name} is in no row of [tool.proactor.layers]"
            yield Finding(module.path, 1, "rows", text)
            continue
        for found in imports(module, modules):
            problem = _import_problem(layout, module.name, found)
            if problem:
                yield Finding(module.path, found.line, "rows", problem)


def _import_problem(layout: Layout, name: str, found: Import) -> str | None:
    own_rank, target_rank = layout.rank(name), layout.rank(found.target)
    assert own_rank is not None, "the caller has reported a module that is in no row"
    if target_rank is None:
        return f"imports {found.target}, which is in no row"
    own_row, target_row = layout.row(name), layout.row(found.target)
    if own_row is None:  # The package's own __init__.
        allowed = target_row is None or {target_row.name, layout.part(found.target)} & {
            *layout.facade,
            *layout.lazy,
        }
        return None if allowed else f"the package itself may not import {found.target}"
    if target_rank > own_rank:
        above = f"row {target_row.name}" if target_row else "the whole package"
        return f"row {own_row.name} imports {found.target} of {above}, which stands above it"
    is_stranger = own_row is target_row and layout.part(name) != layout.part(found.target)
    if own_row.strangers and is_stranger:
        return f"{own_row.name} are strangers to each other: no import of {found.target}"
    return None


def check_cycles(modules: dict[str, Module]) -> Iterator[Finding]:
    """No module imports itself by way of others; a smallest cycle is reported for each knot."""
    graph: dict[str, dict[str, int]] = {name: {} for name in modules}
    for name, module in modules.items():
        for found in imports(module, modules):
            if found.target in modules and found.target != name:
                graph[name].setdefault(found.target, found.line)
    reported: set[str] = set()
    for name in graph:
        cycle = _way_back(graph, name)
        if cycle and reported.isdisjoint(cycle):
            reported.update(cycle)
            line = graph[cycle[0]][cycle[1]]
            yield Finding(modules[name].path, line, "cycles", " -> ".join(cycle))


def _way_back(graph: dict[str, dict[str, int]], start: str) -> list[str]:
    """Return the shortest way from `start` to itself, or nothing."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:  # Grows while it is walked: a breadth-first search.
        for step in graph[way[-1]]:
            if step == start:
                return [*way, step]
            if step not in seen:
                seen.add(step)
                ways.append([*way, step])
    return []


def check_reached(layout: Layout, modules: dict[str, Module]) -> Iterator[Finding]:
    """Every file is imported by another one, or is a place where a program starts."""
    imported = {
        found.target
        for module in modules.values()
        for found in imports(module, modules)
        if found.target != module.name
    }
    # A table of modules that are loaded by name is a way to be imported, too.
    imported |= {
        node.value
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for name, module in modules.items():
        starts = module.is_package or name.endswith(".__main__") or _has_main_guard(module)
        starts = starts or any(fnmatch(name, pattern) for pattern in layout.entry_points)
        if name not in imported and not starts:
            yield Finding(module.path, 1, "reached", f"nothing imports {name}")


def _has_main_guard(module: Module) -> bool:
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in module.tree.body
    )
