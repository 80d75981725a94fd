"""Try whether a storage gives what a repository needs."""

from holdfast.operations.context import Context
from holdfast.storage.address import open_backend
from holdfast.storage.probe import ProbeReport, probe


def check(address: str, context: Context) -> str:
    """Make sure that there is a storage to try, and return its address.

    Raises:
        RepositoryMissingError: there is no such folder.
        StorageError: the storage failed or refused.
    """
    backend = open_backend(address, clock=context.clock, random=context.random)
    try:
        return backend.address
    finally:
        backend.close()


def run(address: str, context: Context) -> ProbeReport:
    """Try the storage at *address* with about 8 MiB, and remove all of it again.

    Raises:
        RepositoryMissingError: there is no such folder.
        StorageError: the storage failed or refused.
    """
    backend = open_backend(address, clock=context.clock, random=context.random)
    try:
        return probe(backend, context.clock, context.random)
    finally:
        backend.close()
