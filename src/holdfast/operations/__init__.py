"""One module per use case: backup, restore, prune, verify and so on.

This room knows in which order the rooms below are asked for something that a person wants, and
what comes out of it as plain values. What destroys is planned first, the plan is a value, and
applying refuses a plan made from another state. It never knows a terminal, an option, the
environment or how anything looks; secrets are asked for through a callback.
"""
