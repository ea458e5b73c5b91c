"""``proactor serve`` on the server core: what to serve, with which settings, and how it is shown.

`settings` is the one table of what can be set; flags, the configuration file, their help and their
errors all come from it, and it comes from the options of the server core itself.
"""
