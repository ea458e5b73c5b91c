"""The reference engine: readiness turned into completion, on Linux, macOS and the BSDs.

Try the call first; if it would block, park it, arm its descriptor, and try again when the kernel
says so. The port, the events and the APCs are those of ``userspace``.
"""
