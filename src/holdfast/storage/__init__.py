"""Dumb storage: names and opaque bytes.

This room knows how to put, get, list and delete write-once objects durably, and what each kind of
storage promises. It never knows keys, formats, vaults or what the bytes mean. What it needs from
storage, and why, stands in ``docs/design/storage-requirements.md``.
"""
