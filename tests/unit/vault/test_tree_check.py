"""What a tree reaches, where the same chunk lies in several packs."""

from holdfast.base.ids import PackId
from holdfast.vault.tree_check import Reach, _union

A, B = PackId(b"a" * 32), PackId(b"b" * 32)


def test_a_choice_between_packs_stays_open_when_one_of_them_is_needed_anyway() -> None:
    """Refs that name both are right: the writer took the chunk from B, something else is in A."""
    only_in_a = Reach(frozenset({A}), frozenset())
    in_either = Reach(frozenset(), frozenset({(A, B)}))

    assert _union([only_in_a, in_either]) == Reach(frozenset({A}), frozenset({(A, B)}))
