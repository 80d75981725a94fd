"""Putting data back: where it lands, what may be overwritten, and the comparison afterwards.

This room knows target folders and the rules of restoring. It never follows a symbolic link below
the target, and it never knows keys, passwords, terminals or where a repository lies.
"""
