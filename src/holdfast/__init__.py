"""Holdfast: open, self-hosted, end-to-end encrypted backup and recovery.

The house has floors; a room imports only from the floors below it, and ``make check`` holds the
ladder:

    roof  cli                        speaks to people
    6     operations                 one module per use case: backup, restore, prune, verify ...
    5     recovery                   putting data back: files
    4     vault | sources            the format at work | deciding what to read
    3     core                       the byte path: one typed face, engines behind it
    2     keys                       slots, statements, epochs, writers
    1     crypto | format | storage | policy     four strangers
    0     base                       errors, clock, ids, sizes, secrets, progress

The truth about what is stored is ``docs/spec/vault-format.md``; the words are in
``docs/glossary.md``.
"""

__version__ = "0.1.0"
