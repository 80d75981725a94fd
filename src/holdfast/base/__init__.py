"""What every room may lean on: errors, clock, ids, sizes, secrets, progress.

This room knows nothing of backups: no format, no key, no storage, no file system. It imports
nothing of Holdfast.
"""
