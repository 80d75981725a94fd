"""The vault format at work: sessions that write, readers, restore points, upkeep.

This room knows the order in which objects are written and deleted, what counts as visible, who may
have signed what, and what this machine remembers of a repository. It never knows what a source is,
how a key derivation works, how bytes become chunks, or how storage keeps its promises; and it asks
nobody anything.
"""
