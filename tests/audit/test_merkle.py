"""The tree's arithmetic, against RFC 6962's known answers and against the auditor's own."""

from hashlib import sha256

import pytest

from infrastructure.audit import merkle
from interfaces.cli.audit_verify import Tree, consistent, included

# The leaves and roots that Certificate Transparency's implementations are tested with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = range(1, 71)


def node_over(leaves: list[bytes]) -> merkle.Node:
    def node(level: int, index: int) -> bytes:
        covered = leaves[index << level : (index + 1) << level]
        assert len(covered) == 1 << level, "asked for a subtree that is not complete"
        return merkle.complete_root([merkle.leaf_hash(leaf) for leaf in covered])

    return node


def plain_root(leaves: list[bytes]) -> bytes:
    """As RFC 9162, 2.1.1 defines it."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


MANY = [b"leaf %d" % number for number in range(max(SIZES))]
MANY_ROOTS = {size: plain_root(MANY[:size]) for size in SIZES}


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_known_answers(size: int) -> None:
    frontier, tree = merkle.Frontier(), Tree()
    for leaf in LEAVES[:size]:
        frontier.add(merkle.leaf_hash(leaf))
        tree.add(merkle.leaf_hash(leaf))
    assert merkle.root(node_over(LEAVES), size).hex() == ROOTS[size]
    assert frontier.root().hex() == ROOTS[size]
    if size:
        assert tree.root().hex() == ROOTS[size]


def test_known_inclusion_paths() -> None:
    path = merkle.inclusion_path(node_over(LEAVES), 0, 8)
    assert [step.hex() for step in path] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [step.hex() for step in merkle.inclusion_path(node_over(LEAVES), 2, 3)] == [
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    ]


def test_known_consistency_paths() -> None:
    path = merkle.consistency_path(node_over(LEAVES), 6, 8)
    assert [step.hex() for step in path] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_proven_and_no_other(size: int) -> None:
    root = MANY_ROOTS[size]
    assert merkle.root(node_over(MANY), size) == root
    for number in range(size):
        path = merkle.inclusion_path(node_over(MANY), number, size)
        assert included(MANY[number], number, size, path, root)
        assert not included(b"another", number, size, path, root)
        assert not included(MANY[number], (number + 1) % size, size, path, root) or size == 1
        assert not included(MANY[number], number, size, [*path, root], root)
        if path:
            assert not included(MANY[number], number, size, path[:-1], root)
            assert not included(MANY[number], number, size, path[1:], root)


@pytest.mark.parametrize("new", SIZES)
def test_every_earlier_tree_is_proven_to_be_a_beginning_and_no_other(new: int) -> None:
    for old in range(1, new + 1):
        path = merkle.consistency_path(node_over(MANY), old, new)
        roots = MANY_ROOTS[old], MANY_ROOTS[new]
        assert consistent(old, roots[0], new, roots[1], path)
        assert not consistent(old, bytes(32), new, roots[1], path)
        assert not consistent(old, roots[0], new, bytes(32), path)
        assert not consistent(old, roots[0], new, roots[1], [*path, bytes(32)])
        for place in range(len(path)):
            changed = [*path[:place], bytes(32), *path[place + 1 :]]
            assert not consistent(old, roots[0], new, roots[1], changed)
            assert not consistent(old, roots[0], new, roots[1], path[:place] + path[place + 1 :])
