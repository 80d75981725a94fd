"""What the command line refuses by itself. Codes H900 to H919, and H999 for defects."""

from typing import Final, Self

from holdfast.base.errors import (
    HoldfastError,
    IntegrityError,
    InternalError,
    KeysError,
    RequestError,
)

# Commands by what their interruption leaves behind, as people type them.
_GO_ON: Final = frozenset({"backup", "forget", "delete", "prune", "gc", "compact"})
_RESTORE: Final = frozenset({"restore", "extract"})
_LOOK: Final = frozenset({"points", "snapshots", "list", "ls", "check", "verify"})


class UsageError(RequestError):
    """What was typed is no command that Holdfast has, or not with these options."""

    code = "H900"


class NoRepositoryNamedError(RequestError):
    """Neither an option nor the environment says which repository is meant."""

    code = "H901"


class NoSecretError(KeysError):
    """A password is needed, none was given, and there is no terminal to ask on."""

    code = "H902"


class SecretFileError(RequestError):
    """A password file or key file cannot be read."""

    code = "H903"


class SecretFileWritableError(KeysError):
    """A password file or key file can be changed by other people; it was not used."""

    code = "H904"


class PasswordCommandError(RequestError):
    """The command that should print the password failed."""

    code = "H905"


class PasswordMismatchError(RequestError):
    """A new password was typed differently the second time; nothing was changed."""

    code = "H906"


class NotConfirmedError(HoldfastError):
    """The plan was shown and nothing was done: nobody said yes."""

    code = "H907"
    exit_code = 4


class InterruptedByUserError(HoldfastError):
    """The work was interrupted; the repository is consistent."""

    code = "H908"
    exit_code = 130

    @classmethod
    def during(cls, command: str | None) -> Self:
        """Say what the interruption of *command*, as people type it, leaves behind."""
        if command in _GO_ON:
            return cls(
                "Interrupted; the repository is consistent and the next run goes on from here."
            )
        if command in _RESTORE:
            return cls(
                "Interrupted; the repository is as it was, and what was restored so far stays.",
                hint="The same restore goes on with --overwrite if-changed; where nobody can be "
                "asked, add --yes.",
            )
        if command in _LOOK:
            return cls("Interrupted; the repository is as it was. The next run begins anew.")
        return cls("Interrupted; the repository is consistent.")

    @classmethod
    def at_a_question(cls) -> Self:
        """Say that whoever was asked for something interrupted instead: nothing had begun."""
        return cls("Interrupted; nothing was done.")


class OutputError(HoldfastError):
    """What was to be printed or written for people could not be."""

    code = "H909"


class SourcePartlyReadError(HoldfastError):
    """A restore point was made; parts of the source could not be read and are named."""

    code = "H910"
    exit_code = 3


class RestoredPartlyError(HoldfastError):
    """The restore ran to its end; some items are not as they were and are named."""

    code = "H911"


class DamageFoundError(IntegrityError):
    """A check or verification found damage; each damaged object is named."""

    code = "H912"


class LocalFolderError(HoldfastError):
    """A folder of this machine (keys, state or cache) cannot be used. The repository is whole."""

    code = "H913"


class PasswordLinesError(RequestError):
    """A new password has several lines; nothing was changed."""

    code = "H915"


class DefectError(InternalError):
    """Holdfast itself made a mistake: a defect, please report it."""

    code = "H999"
