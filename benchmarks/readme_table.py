"""Measure the six models and rewrite the table of the README with the figures.

``python benchmarks/readme_table.py`` takes about two minutes on a quiet machine. Options after it
are passed on to ``proactor models --measure``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- measured: python benchmarks/readme_table.py -->\n"
END = "<!-- /measured -->\n"

COMMAND = ["models", "--measure", "--markdown", "--connections", "100", "--rounds", "5"]


def main() -> None:
    """Measure, and put what was printed between the two marks."""
    run = subprocess.run(
        [sys.executable, "-m", "proactor", *COMMAND, *sys.argv[1:]],
        stdout=subprocess.PIPE,
        text=True,
    )
    if run.returncode:
        sys.exit("The README is as it was: a server failed, as the line above says.")
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    table = run.stdout.strip()
    README.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
