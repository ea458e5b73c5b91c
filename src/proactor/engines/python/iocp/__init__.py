"""The `iocp` engine: the Windows kernel's own completion ports, events and APCs.

Nothing here is an emulation. `winapi` declares the calls; `in_flight` keeps what the kernel writes
to alive; `start` and `perform` turn an `Operation` into a call, `finish` turns its completion into
a result; `ports`, `sockets`, `waits`, `window` and `selecting` are the contract's objects. It
imports on Windows only: `choose` looks first.
"""
