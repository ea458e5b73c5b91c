"""What the NT kernel has and other kernels lack: ports, events, waits and APC queues, in Python.

One lock (`Dispatcher.lock`) guards all of it, so that a wait for several objects is atomic and
packets leave in the order in which operations completed. An engine over readiness brings a
`Reactor` that moves bytes; the threads that wait here run it themselves.
"""
