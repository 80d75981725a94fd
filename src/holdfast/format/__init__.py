"""Bytes to values and back: the encoding, frames, names, packs, index parts and every record.

This room knows what the stored bytes mean. It never knows a key, a storage, a clock or a policy:
what is sealed passes through it as opaque bytes, and signatures are made and checked by whoever
holds the keys. Every decoder takes bytes that a hostile repository may have made up: it raises
leaves of :class:`~holdfast.format.errors.FormatError` only, allocates no more than a small multiple
of what it was given, and accepts nothing that the encoder beside it would not have written.

The document to read is ``docs/spec/vault-format.md``; each module names its section.
"""
