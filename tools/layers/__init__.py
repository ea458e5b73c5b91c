"""The checker of the project's shape: `python -m tools.layers`, or `make layers`.

It reads the source with `ast`, never imports it, and holds the rules that no linter knows: the
five rows and who may import whom, no import cycle, questions about the operating system in one
row only, and the habits of size and naming. The rows themselves stand in pyproject.toml.
"""
