"""The primitives, put together exactly as ``docs/spec/vault-format.md`` says (sections 1, 3 and 4).

This room knows suites, key derivation, boxes, HPKE, signatures, passwords and the system's random
generator. It never knows what is sealed, where it is stored or who holds a key.
"""
