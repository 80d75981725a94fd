"""Deciding what a backup reads: files and folders, standard input, the output of a command.

This room turns what people name into a root that can be opened and a selection below it, or into a
pipe with a verdict at its end. It reads no file's content: the engine does. It never knows keys,
objects or storage.
"""
