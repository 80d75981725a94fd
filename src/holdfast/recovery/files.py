"""Where the files of a restore point land, and under which rules.

Without a path, the original full path is rebuilt below the target. With a path, what the path holds
lands in the target. In place, everything goes where it came from.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from holdfast.base.places import place_below
from holdfast.core.named_paths import outermost
from holdfast.core.restore_rules import LeftOutRules, RestoreRules
from holdfast.recovery.errors import (
    PathNotInPointError,
    RestoreRequestError,
    TargetError,
    TargetInRepositoryError,
    TargetNotEmptyError,
)

Overwrite = Literal["never", "if-changed", "always"]
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class RestoreWish:
    """What somebody wants back, and where.

    Attributes:
        target: the folder to restore into; None for in place.
        path: what of the point; empty for everything. Absolute, or relative to the point's root.
        overwrite: what becomes of files that are there; None: the target has to be empty.
        delete_excluded: remove also what the backup left out.
    """

    target: Path | None
    path: bytes = b""
    overwrite: Overwrite | None = None
    delete: bool = False
    delete_excluded: bool = False
    include: tuple[bytes, ...] = ()
    exclude: tuple[bytes, ...] = ()
    sparse: bool = True
    numeric_ids: bool = False

    @property
    def may_destroy(self) -> bool:
        """Say whether something that is there now may be replaced or removed.

        Where the target cannot be looked at, the restore itself will say so.
        """
        if self.target is None:
            return True
        if not self.delete and self.overwrite not in {"if-changed", "always"}:
            return False
        try:
            with os.scandir(self.target) as entries:
                return next(entries, None) is not None
        except OSError:
            return False

    def __post_init__(self) -> None:
        if self.delete_excluded and not self.delete:
            raise RestoreRequestError(
                "--delete-excluded says what --delete removes, which is not there.",
                hint="Add --delete.",
            )
        if self.delete and self.target is not None and self.overwrite is None:
            raise RestoreRequestError(
                "--delete removes what the restore point does not have, so it needs to know what "
                "becomes of the rest.",
                hint="Add --overwrite if-changed or --overwrite always.",
            )


@dataclass(frozen=True, slots=True)
class FileRestore:
    """A wish, seen against one restore point.

    Attributes:
        folder: the absolute folder that is opened; made with its parents when it is missing.
        base: the folder that the person named; has to be empty unless a rule says otherwise.
        below: paths below the point's root that are wanted; empty for all.
        rules: for the engine, if the folder is there before.
        is_of_point: the folder stands for one that the point has, so it becomes what that one was
            where it has to be made.
    """

    folder: bytes
    base: bytes
    below: tuple[bytes, ...]
    rules: RestoreRules
    must_be_empty: bool
    is_of_point: bool

    @classmethod
    def planned(
        cls,
        wish: RestoreWish,
        root: bytes,
        *,
        is_folder: bool = True,
        selection: Sequence[bytes] = (),
        spared: Sequence[bytes] = (),
        left_out: LeftOutRules | None = None,
    ) -> "FileRestore":
        """Find out where things land.

        *root* is the root of the point; *is_folder* says of what ``wish.path`` names whether it is
        a folder (ask :func:`path_below` for its place in the point first). *selection* is what was
        backed up below the root, if that was not all: nothing is removed outside of it. *spared*
        are absolute paths that are never removed. *left_out* are the rules of the backup.

        Raises:
            PathNotInPointError: the path lies outside the point.
            RestoreRequestError: everything on this machine would be compared with the point.
        """
        selection = outermost(selection)
        relative, inside = path_below(wish.path, root)
        strip = b""
        below = (relative,) if relative else ()
        if wish.target is None:
            base = folder = root
        else:
            base = os.path.abspath(os.fsencode(wish.target))  # noqa: PTH100 - bytes, and links stay as they are
            folder = os.path.join(base, inside) if inside else base  # noqa: PTH118 - paths are bytes here
            if relative:
                strip = relative if is_folder else os.path.dirname(relative)  # noqa: PTH120 - as above
        roots = roots_below(relative, selection)
        if wish.delete and folder == b"/" and not roots:
            raise RestoreRequestError(
                "--delete on the root of this machine would remove whatever the restore point does "
                "not have.",
                hint="Name a folder of the restore point: POINT:/home/me.",
            )
        rules = RestoreRules(
            # Where the target has to be empty, nothing of it can be overwritten; the folder that
            # stands for the point's root still gets its metadata.
            overwrite=wish.overwrite or "if-changed",
            delete=wish.delete,
            sparse=wish.sparse,
            numeric_ids=wish.numeric_ids,
            strip_prefix=strip,
            include=wish.include,
            exclude=wish.exclude,
            # A folder that the person named stays as it is; one that stands for the point's root,
            # in place too, becomes what the root was.
            # The common folder of several paths was not backed up itself: it is theirs who has it.
            onto_target=not relative
            and (folder != base if wish.target is not None else not selection),
            roots=roots,
            keep_above=wish.target is None,
            spared=_inside(folder, strip, spared),
            left_out=None if wish.delete_excluded else left_out,
        )
        needs_empty = wish.target is not None and wish.overwrite is None
        # The common folder of several paths was not backed up, and a file brings no folder.
        is_of_point = is_folder if wish.target is not None and relative else not selection
        return cls(folder, base, below, rules, needs_empty, is_of_point)

    @contextmanager
    def look_at_target(self) -> Iterator[int | None]:
        """Open the folder as it is, making nothing; yields None where there is none."""
        try:
            descriptor = os.open(self.folder, _FOLDER_FLAGS)
        except OSError:
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def open_target(self) -> Iterator[tuple[int, RestoreRules]]:
        """Make and open the folder; yields its descriptor, and the rules for it.

        A folder that is made, and will become one of the point, is its owner's only until then.

        Raises:
            TargetNotEmptyError: it holds something and must not.
            TargetError: it cannot be made or opened, or something else than a folder is there.
        """
        try:
            os.makedirs(os.path.dirname(self.base), exist_ok=True)  # noqa: PTH103, PTH120 - paths are bytes here
            is_made = self._make(self.base, None, is_last=self.folder == self.base)
            base = os.open(self.base, _FOLDER_FLAGS)
        except OSError as error:
            raise _target_error(self.base, error) from error
        try:
            if self.must_be_empty:
                self._check_empty(base)
            descriptor, is_made = self._descend(base, is_made=is_made)
        finally:
            os.close(base)
        rules = self.rules
        if is_made and self.is_of_point:
            rules = replace(rules, onto_target=True, target_is_new=True)
        try:
            yield descriptor, rules
        finally:
            os.close(descriptor)

    def _check_empty(self, base: int) -> None:
        with os.scandir(base) as entries:
            is_empty = next(entries, None) is None
        if not is_empty:
            raise TargetNotEmptyError(
                f"The folder '{_shown(self.base)}' is not empty.",
                hint="Restore into a new folder, or say what becomes of files that are there: "
                "--overwrite never, if-changed or always. A restore that was cut short goes on "
                "with --overwrite if-changed.",
            )

    def _make(self, name: bytes, above: int | None, *, is_last: bool) -> bool:
        """Make a folder; False if something is there."""
        mode = stat.S_IRWXU if is_last and self.is_of_point else 0o777
        try:
            os.mkdir(name, mode, dir_fd=above)
        except FileExistsError:
            return False
        return True

    def _descend(self, base: int, *, is_made: bool) -> tuple[int, bool]:
        """Open the folder below the base, one name after the other, following no link.

        Returns its descriptor, and whether it was made, here or as the base.
        """
        descriptor = os.dup(base)
        inside = self.folder[len(self.base) :].strip(b"/")
        names = inside.split(b"/") if inside else []
        for place, name in enumerate(names, 1):
            above = descriptor
            try:
                is_made = self._make(name, above, is_last=place == len(names))
                if not is_made:
                    status = os.stat(name, dir_fd=above, follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        raise TargetError(
                            f"'{_shown(self.folder)}' cannot be rebuilt: '{_shown(name)}' is there "
                            "and is not a folder."
                        )
                descriptor = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=above)
            except OSError as error:
                raise _target_error(self.folder, error) from error
            finally:
                os.close(above)
        return descriptor, is_made


def refuse_in_repository(folder: bytes, repository: bytes) -> None:
    """Refuse to restore into what is restored from.

    Folders are told apart by device and inode, so that neither links nor mounts hide it.

    Raises:
        TargetInRepositoryError: *folder*, which need not be there, is *repository* or lies in it.
    """
    if place_below(repository, folder) is not None:
        raise TargetInRepositoryError(
            f"The target '{_shown(folder)}' lies in the repository that is restored from.",
            hint="Restore into a folder outside of it: what a restore puts, replaces or removes "
            "there would damage the repository.",
        )


def path_below(path: bytes, root: bytes) -> tuple[bytes, bytes]:
    """Return where *path* lies below *root*, and where *root* lies below *path*; one is empty.

    An empty path stands for the root of the file system, so that the whole path is rebuilt.

    Raises:
        PathNotInPointError: neither lies below the other.
    """
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise PathNotInPointError(f"'{_shown(path)}' contains '..'; write the path without it.")
    roots = [part for part in root.split(b"/") if part]
    if path.startswith(b"/") or not parts:
        if parts[: len(roots)] == roots:
            return b"/".join(parts[len(roots) :]), b""
        if roots[: len(parts)] == parts:
            return b"", b"/".join(roots[len(parts) :])
        raise PathNotInPointError(
            f"'{_shown(path)}' is not in this restore point, which holds '{_shown(root)}'.",
            hint="'holdfast ls POINT' shows what is in it.",
        )
    return b"/".join(parts), b""


def roots_below(path: bytes, selection: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what of *path* was backed up, given the outermost of what was selected; empty: all.

    Both are paths below the point's root, an empty one stands for the root itself.
    """
    if not path:
        return tuple(selection)
    inside = tuple(one for one in selection if one.startswith(path + b"/"))
    return inside or (path,)


def _inside(folder: bytes, strip: bytes, paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return those absolute *paths* that lie in *folder*, as paths of the tree that lands there."""
    above = strip + b"/" if strip else b""
    found = (place_below(folder, path) for path in paths)
    return tuple(above + path for path in found if path)


def patterns(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Return typed patterns as the engine takes them."""
    return tuple(os.fsencode(line) for line in lines)


def _target_error(path: bytes, error: OSError) -> TargetError:
    reason = error.strerror or type(error).__name__
    hint = None
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "Make room there, or let --to name a folder elsewhere."
    return TargetError(f"The target '{_shown(path)}' cannot be used: {reason}.", hint=hint)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
