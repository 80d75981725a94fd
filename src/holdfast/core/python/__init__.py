"""The plain engine: vault-format.md sections 6 to 8, written to be read."""
