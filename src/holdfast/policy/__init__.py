"""What is left out of a backup, and which restore points are kept.

This room knows gitignore patterns and retention rules: pure functions from values to values. It
never reads a file, a clock or a setting, and knows no repository, no key and no tree walk: who
asks brings the names, the points, the time and the time zone. See ``docs/reference/patterns.md``
and ``docs/reference/retention.md``.
"""
