"""Engines: how each operating system moves the bytes. The only row that asks which OS this is.

`contract` says what an engine must do; `choose` picks one. ``userspace`` holds the port, the
events and the APC queues for systems whose kernel has none; ``python`` holds the engines written
in Python: ``selectors`` (readiness turned into completion) and ``iocp`` (the Windows kernel).
"""
