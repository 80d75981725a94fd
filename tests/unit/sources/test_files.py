"""Roots and selections of what people name."""

import os
from pathlib import Path

import pytest

from holdfast.base.errors import SourceError
from holdfast.sources.errors import (
    EmptySourceError,
    PatternFileError,
    SourceMissingError,
    SourceUnreadableError,
)
from holdfast.sources.files import (
    FileSource,
    check_patterns,
    read_paths_file,
    read_patterns_file,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with two folders and a file in each."""
    root = tmp_path.resolve() / "tree"
    for name in ("a/x", "a/y", "b/z"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return root


def named(*paths: Path) -> FileSource:
    return FileSource.named([os.fsencode(path) for path in paths])


def test_one_folder_is_the_root_itself(tree: Path) -> None:
    """All of it, whatever link led there."""
    link = tree.parent / "link"
    link.symlink_to(tree)

    assert named(tree) == FileSource(os.fsencode(tree), (), str(tree))
    assert named(link).root == os.fsencode(tree)
    assert named(tree / "a" / "..").root == os.fsencode(tree)


def test_several_paths_are_a_selection_below_their_common_folder(tree: Path) -> None:
    """Ascending, and nothing twice."""
    found = named(tree / "b", tree / "a" / "x", tree / "a" / "x")

    assert found.root == os.fsencode(tree)
    assert found.selection == (b"a/x", b"b")
    assert found.name == str(tree / "b")


def test_one_file_is_a_selection_in_its_folder(tree: Path) -> None:
    """The folder itself is not taken."""
    assert named(tree / "a" / "x").selection == (b"x",)
    assert named(tree / "a" / "x").root == os.fsencode(tree / "a")


def test_a_path_below_another_one_is_kept(tree: Path) -> None:
    """Rules are seen from it. The common folder may be one of the paths itself."""
    assert named(tree / "a", tree / "a" / "x", tree / "b").selection == (b"a", b"a/x", b"b")
    assert named(tree, tree / "a", tree).selection == (b".", b"a")


def test_a_link_to_a_file_means_the_link(tree: Path) -> None:
    """Also one that leads nowhere."""
    (tree / "good").symlink_to("a/x")
    (tree / "broken").symlink_to("nowhere")

    assert named(tree / "good", tree / "broken").selection == (b"broken", b"good")


def test_what_is_not_there_is_named(tree: Path) -> None:
    """With the path as it was typed."""
    with pytest.raises(SourceMissingError, match="nowhere"):
        named(tree, tree / "nowhere")
    with pytest.raises(SourceMissingError):
        named(tree / "a" / "x" / "below")
    with pytest.raises(SourceMissingError):
        FileSource.named([b""])


def test_nothing_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    """Unless the empty folder is meant."""
    with pytest.raises(EmptySourceError):
        FileSource.named([])
    with pytest.raises(EmptySourceError):
        named(tmp_path)
    assert FileSource.named([os.fsencode(tmp_path)], allow_empty=True).selection == ()


def test_a_root_that_has_gone_cannot_be_opened(tree: Path) -> None:
    """The descriptor is of a folder, or there is none."""
    source = named(tree)
    os.close(source.open_root())
    tree.rename(tree.with_name("moved"))

    with pytest.raises(SourceUnreadableError):
        source.open_root()


def test_files_of_paths_and_patterns_are_read_line_by_line(tmp_path: Path) -> None:
    """Paths may be separated by NUL, so that a newline can be part of a name."""
    lines, nuls = tmp_path / "lines", tmp_path / "nuls"
    lines.write_bytes(b"a\n\nb\n")
    nuls.write_bytes(b"a\nb\0c")

    assert read_paths_file(lines) == [b"a", b"b"]
    assert read_paths_file(nuls) == [b"a\nb", b"c"]
    assert read_patterns_file(lines) == [b"a", b"", b"b", b""]
    with pytest.raises(PatternFileError):
        read_paths_file(tmp_path / "nowhere")


def test_lines_that_begin_with_a_hash_are_remarks_in_files_of_paths(tmp_path: Path) -> None:
    """Not among names that a program parted with NUL."""
    lines, nuls = tmp_path / "lines", tmp_path / "nuls"
    lines.write_bytes(b"# what matters\na\n./#b\n #c\nd#e\n")
    nuls.write_bytes(b"#a\0b\0")

    assert read_paths_file(lines) == [b"a", b"./#b", b" #c", b"d#e"]
    assert read_paths_file(nuls) == [b"#a", b"b"]


def test_patterns_that_do_not_do_what_was_meant_are_remarked_on() -> None:
    """An absolute path of the source, and what can never match."""
    source = FileSource(b"/home/me", (), "/home/me")
    remarks = check_patterns([b"/home/me/cache", b"[", b"*.tmp", b"/me/x"], source)

    assert len(remarks) == 2
    assert "'/cache' was probably meant" in remarks[1]


def test_patterns_that_spell_one_of_several_named_paths_are_remarked_on() -> None:
    """They are seen from it, neither from the root of all nor from where these lie."""
    source = FileSource(b"/home/me", (b".", b"a/b", b"c"), "/home/me")
    lines = [b"/home/me/a/b/cache", b"/a/b/*.tmp", b"!/c/keep", b"/a/keep", b"/home/me/d"]

    remarks = check_patterns(lines, source)

    assert [remark.split("'")[3] for remark in remarks] == ["/cache", "/*.tmp", "!/keep", "/d"]


def test_a_pattern_that_brings_nothing_back_is_remarked_on_as_such() -> None:
    """It leaves out nothing in any case."""
    source = FileSource(b"/home/me", (), "/home/me")
    (remark,) = check_patterns([b"!/home/me/x.log"], source)

    assert "brings back nothing; '!/x.log' was probably meant" in remark
    assert "leaves out" not in remark


def test_names_of_megabytes_are_cut_in_messages() -> None:
    """They come from files that are no lists of paths or patterns."""
    with pytest.raises(SourceUnreadableError) as caught:
        FileSource.named([b"\xffx" * 1_500_000])
    assert len(caught.value.message) < 300
    assert "… (3,000,000 bytes)'" in caught.value.message

    source = FileSource(b"/home/me", (), "/home/me")
    (remark,) = check_patterns([b"/home/me/" + b"x" * 5000], source)
    assert len(remark) < 600


@pytest.mark.parametrize("path", [b"", b"nowhere", b"a/" + b"x" * 5000, b"x" * 300, b"loop"])
def test_every_refusal_of_a_path_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    """Whatever is wrong with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "a").symlink_to("a")
    with pytest.raises(SourceError) as caught:
        FileSource.named([path + b"/a/b" if path == b"loop" else path])
    assert caught.value.hint


def test_a_list_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    """One that is not there, and a folder."""
    hints = set()
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PatternFileError) as caught:
            read_paths_file(path)
        hints.add(caught.value.hint)
    assert len(hints - {None}) == 2
