"""Who holds which key of a vault: slots, statements, epochs, writers (section 4 and 5.2 to 5.5).

This room makes and opens the objects that carry keys, and decides which of them count. It takes and
returns object bytes; it never knows where they are stored, and never touches data that was backed
up. To read: ``docs/spec/vault-format.md``, sections 4 and 5.
"""
