"""The native part, for Linux: C code that talks to the kernel, and a thin Cython face over it.

`core/` is C11 and knows nothing of Python; `_core` is its face, built by ``pip install`` where
there is a compiler, and never required; `probe` says what this machine offers it, `seccomp` what a
container must allow. No engine runs on it yet.
"""
