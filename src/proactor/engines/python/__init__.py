"""The engines that are written in Python: ``selectors`` and ``iocp``."""
