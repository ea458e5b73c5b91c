"""Check the tree below a folder (the current one by default) and list what is wrong."""

import sys
from pathlib import Path

from tools.layers import habits, rules
from tools.layers.modules import Finding, read_modules
from tools.layers.rows import read_layout


def check(root: Path) -> list[Finding]:
    """Return every finding about the package below `root`, warnings included, in file order."""
    layout = read_layout(root / "pyproject.toml")
    modules = read_modules(root, layout.package)
    findings = [
        *rules.check_rows(layout, modules),
        *rules.check_cycles(modules),
        *rules.check_reached(layout, modules),
    ]
    for module in modules.values():
        findings += habits.check_system_questions(layout, module)
        findings += habits.check_sizes(module)
        findings += habits.check_names(module)
        findings += habits.check_finished(module)
    return sorted(findings, key=lambda finding: (finding.path, finding.line, finding.rule))


def main(arguments: list[str]) -> int:
    """Print the findings and return the exit status: 1 if there is one that is not a warning."""
    findings = check(Path(arguments[0] if arguments else "."))
    for finding in findings:
        print(finding)
    warnings = sum(finding.is_warning for finding in findings)
    errors = len(findings) - warnings
    print(f"layers: {errors} errors, {warnings} over the habit of size")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
