"""Streams in plain Python: the reference implementation of `engines.stream_contract`.

Over the public names of overlapped sockets and ports, so it runs on every engine. A strand is a
sequence of calls of which no two run at once; here it is the turns of a stream.
"""
