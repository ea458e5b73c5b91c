"""The command line (extra ``cli``): run a model, load a server, look at the engine.

``main`` is where it starts, and says which extra is missing; ``app`` holds the commands and their
options; each command has a module of its own. Rules: stdout is the answer and stderr the story;
an error is one line with the remedy; exit codes are those of ``exits``.
"""
