"""The load generator in Python: what runs where the one in C does not, and what that is tested by.

One thread, one selector of the standard library. The rules of the traffic stand at the top of
`core/load.h`, and the counters have the names that they have there.
"""
