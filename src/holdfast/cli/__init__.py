"""The command line: words typed by people in, sentences, tables and exit codes out.

This room knows terminals, the environment, prompts and how results look. It decides nothing about
backups: each command fills a request, hands it to the use case of the same name in
``holdfast.operations`` and shows what comes back. It never touches a key, an object or a file of a
repository. ``docs/reference/cli.md`` is the page for people.
"""
