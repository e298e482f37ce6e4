"""The stored hashes of the tree, in the shape of C2SP tlog-tiles: only every eighth level is kept,
256 hashes to a row; 33 bytes an event.

They lie in the log's own database, and the checkpoints beside them: a backup of it then holds a
tree that fits, and the lock that keeps two writers of the log apart keeps two sealers apart. The
tables are made when they are first needed, so a log from before there was a tree can be sealed.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from application.audit import HashesMissing
from infrastructure.audit import merkle
from infrastructure.event_store.schema import Bytes

TILE_LEVELS = 8
TILE = 1 << TILE_LEVELS
HASH_BYTES = 32
TILE_BYTES = TILE * HASH_BYTES

metadata = MetaData()

# Row `tile` of level L holds the hashes of the complete subtrees at level 8·L from number
# 256·tile on; the last row of a level may be shorter.
tiles = Table(
    "audit_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("tile", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", Bytes, nullable=False),
)

_hashes_of = select(tiles.c.hashes).where(
    tiles.c.level == bindparam("level"), tiles.c.tile == bindparam("tile")
)


class StoredTree:
    """The tree as one transaction sees it. Tiles that were read are kept for its next question."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[tuple[int, int], bytes] = {}
        last = connection.scalar(select(func.max(tiles.c.tile)).where(tiles.c.level == 0))
        self.size = 0 if last is None else last * TILE + len(self._tile(0, last)) // HASH_BYTES

    def node(self, level: int, index: int) -> bytes:
        """As `merkle.Node`. Raises HashesMissing."""
        tile_level, height = divmod(level, TILE_LEVELS)
        row, place = divmod(index << height, TILE)
        start, length = place * HASH_BYTES, HASH_BYTES << height
        found = self._tile(tile_level, row)[start : start + length]
        if len(found) != length:
            raise HashesMissing(f"the tree has no subtree {index} at level {level} any more")
        return merkle.complete_root(_cut(found))

    def leaf(self, number: int) -> bytes:
        """Raises HashesMissing."""
        return self.node(0, number)

    def leaves(self, start: int, end: int) -> dict[int, bytes]:
        """The hashes of leaves [start, end) that are there, by number."""
        found: dict[int, bytes] = {}
        for row in range(start // TILE, -(-min(end, self.size) // TILE)):
            found.update(enumerate(_cut(self._tile(0, row)), start=row * TILE))
        return found

    def root(self, size: int) -> bytes:
        """Of the tree over the first `size` leaves. Raises HashesMissing."""
        return merkle.root(self.node, size)

    def gives(self, size: int, root: bytes) -> bool:
        """Whether the hashes of the first `size` leaves are there, and make this root."""
        try:
            return self.root(size) == root
        except HashesMissing:
            return False

    def append(self, hashes: Sequence[bytes]) -> None:
        """Add leaves at the end; needs the write lock."""
        level, count = 0, self.size
        self.size += len(hashes)
        while hashes:
            row, full = divmod(count, TILE)
            kept = self._tile(level, row) if full else b""
            line = kept + b"".join(hashes)
            rows = [line[at : at + TILE_BYTES] for at in range(0, len(line), TILE_BYTES)]
            if full:
                self._connection.execute(
                    delete(tiles).where(tiles.c.level == level, tiles.c.tile == row)
                )
            self._connection.execute(
                insert(tiles),
                [
                    {"level": level, "tile": tile, "hashes": each}
                    for tile, each in enumerate(rows, start=row)
                ],
            )
            self._read.clear()
            hashes = [merkle.complete_root(_cut(each)) for each in rows if len(each) == TILE_BYTES]
            level, count = level + 1, row

    def _tile(self, level: int, tile: int) -> bytes:
        key = (level, tile)
        if key not in self._read:
            self._read[key] = self._fetch(level, tile)
        return self._read[key]

    def _fetch(self, level: int, tile: int) -> bytes:
        return self._connection.scalar(_hashes_of, {"level": level, "tile": tile}) or b""


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
