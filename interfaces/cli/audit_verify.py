#!/usr/bin/env python3
"""Checks an export of a Dabir log, or a proof from one, against its key and signed checkpoints.

    python audit_verify.py EXPORT|PROOF --key KEY... --checkpoints FILE|FOLDER... [--json]

Needs Python 3.11 or later and `cryptography`, nothing of Dabir; `msgspec` makes it faster. Prints a
line for each fault; the exit code is 0 if there is none, 1 if there are some, 2 if it was called
wrongly.

- An event's leaf is its header and the digests of its contents, on one line. The leaves are a
  Merkle tree (RFC 9162, section 2.1) in the order of positions.
- A checkpoint (C2SP tlog-checkpoint) says what root the tree had at some size, signed with Ed25519.
  The key, and the checkpoints that you were given in time, are all that is trusted here.
- So no sealed event can be changed, dropped, added or moved without another root. Where the event
  does not show it by itself, the checkpoints around it tell between which positions to look;
  `dabir audit verify` without an export looks into the log itself, and names the position.
- What a person wrote may be gone (`personal` is null) if their stream was erased later on. Its
  digest stays, and with it the proof.

Events are streamed. Memory grows with the number of streams only, some hundred bytes each.
"""

import argparse
import gzip
import json
import os
import re
import signal
import sys
from base64 import b64decode
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from msgspec.json import decode as read_json
except ImportError:
    from json import loads as read_json  # type: ignore[no-redef]

COLUMNS = (
    *("position", "stream_id", "version", "topic", "schema_version", "recorded_at", "meta"),
    *("payload", "payload_digest", "personal", "personal_digest"),
)
MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What comes of reading as something what is not."""
EXPORT = {"log_id", "after", "head", "personal"}
ERASURES = {"chat.erased", "usage.principal-erased"}
BLOCK = 2000
"""Events that a process reads at a time."""
NAMED = 1000
"""Faults that are told one by one; more are only counted."""

Advance: TypeAlias = Callable[[int, int | None], None]
"""Told how many of how many events are done."""


class Unusable(Exception):  # noqa: N818 - says what is wrong with a file
    """What was given is not of the form that is needed."""


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Tree:
    """One that only grows: the roots of its complete subtrees, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.subtrees: list[bytes] = []

    def add(self, subtree: bytes) -> None:
        pairs = self.size
        while pairs & 1:
            subtree = node_hash(self.subtrees.pop(), subtree)
            pairs >>= 1
        self.subtrees.append(subtree)
        self.size += 1

    def root(self) -> bytes:
        root = self.subtrees[-1]
        for subtree in self.subtrees[-2::-1]:
            root = node_hash(subtree, root)
        return root


def included(leaf: bytes, number: int, size: int, path: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2: whether leaf `number` is in the tree of this size and root."""
    found, last = leaf_hash(leaf), size - 1
    for sibling in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node_hash(sibling, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, path: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2: whether the new tree begins with all of the old one."""
    if old == new:
        return old_root == new_root and not path
    number, last = old - 1, new - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    # Where the old tree is one complete subtree, its root begins the path without being sent.
    hashes = path if number else [old_root, *path]
    if not hashes:
        return False
    found_old = found_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


class Checkpoint(NamedTuple):
    """`source` is what to call it by: its file, or the proof that it came with."""

    source: str
    origin: str
    size: int
    root: bytes


class Auditor:
    """The keys that are trusted, the checkpoints they signed, and the faults that were found."""

    def __init__(self, keys: Iterable[str], notes: Iterable[tuple[str, str]] = ()) -> None:
        """`notes` are checkpoints as source and text. Raises Unusable for what is not a key."""
        self.keys = {(name, key_id): key for name, key_id, key in map(read_key, keys)}
        self.checkpoints: dict[tuple[str, int], Checkpoint] = {}
        """By origin and size."""
        self.count = 0
        self.faults: list[tuple[int | None, str]] = []
        for source, text in notes:
            self.take(source, text)

    def fault(self, position: int | None, what: str) -> None:
        self.count += 1
        if self.count <= NAMED:
            self.faults.append((position, what))

    def take(self, source: str, text: str) -> Checkpoint | None:
        """A checkpoint, if it is well-formed and signed with a trusted key."""
        body, _, signatures = text.rpartition("\n\n")
        try:
            origin, size, encoded, *_ = f"{body}\n".split("\n")
            root = b64decode(encoded, validate=True)
            lines = signatures.removesuffix("\n").split("\n")
            signed = [self.is_signed(f"{body}\n".encode(), line) for line in lines]
            if not re.fullmatch("[1-9][0-9]*", size) or len(root) != 32:
                raise ValueError
        except (ValueError, InvalidSignature):
            self.fault(None, f"{source} is not a checkpoint as it was signed")
            return None
        if not any(signed):
            self.fault(None, f"{source} is not signed with a key that is trusted")
            return None
        taken = Checkpoint(source, origin, int(size), root)
        known = self.checkpoints.setdefault((origin, taken.size), taken)
        if known.root != root:
            self.fault(None, f"forked: {known.source} and {source} differ, and both are signed")
        return taken

    def is_signed(self, text: bytes, line: str) -> bool:
        """False where the key is not trusted. Raises ValueError, InvalidSignature."""
        dash, name, encoded = line.split(" ")
        signature = b64decode(encoded, validate=True)
        if dash != "\u2014":
            raise ValueError
        key = self.keys.get((name, signature[:4]))
        if key is not None:
            key.verify(signature[4:], text)
        return key is not None


def read_key(given: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Name, id and key from `NAME+ID+KEY` (C2SP signed-note), or from a file that holds it."""
    text = Path(given).read_text() if os.path.exists(given) else given
    try:
        name, key_id, encoded = text.strip().split("+", 2)
        typed = b64decode(encoded, validate=True)
        if typed[:1] != b"\1" or sha256(f"{name}\n".encode() + typed).hexdigest()[:8] != key_id:
            raise ValueError
        return name, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(typed[1:])
    except ValueError:
        raise Unusable(f"{given} is neither an Ed25519 key, NAME+ID+KEY, nor its file") from None


Event: TypeAlias = tuple[bytes, int, str, int, bool, bool, tuple[str, ...]]
"""Leaf hash, position (0 if unknown), stream, version; whether its words are gone, and whether it
erases its stream's; what is wrong with it by itself. A plain tuple goes to another process fast."""


def read_event(line: bytes) -> Event:
    """All that stands in the line is in the leaf, or is what a digest in the leaf is of."""
    try:
        event = read_json(line)
        if tuple(event) != COLUMNS:
            raise ValueError
        position, stream, version, topic, schema, recorded, meta, *contents = event.values()
        payload, payload_digest, personal, personal_digest = contents
        # Else one leaf could be read as two events.
        if len(stream) != 36 or " " in stream or " " in topic:
            raise ValueError
        leaf = (
            f"dabir-event/1 {position:d} {stream} {version:d} {topic} {schema:d} {recorded:d} "
            f"{payload_digest} {'-' if personal_digest is None else personal_digest} {meta}"
        )
        faults = []
        if sha256(payload.encode()).hexdigest() != payload_digest:
            faults.append("payload is not what payload_digest is of")
        if personal is not None:
            words = a2b_base64(personal, strict_mode=True)
            if sha256(words).hexdigest() != personal_digest:
                faults.append("personal is not what personal_digest is of")
        wordless = personal is None and personal_digest is not None
        hashed = leaf_hash(leaf.encode())
        return hashed, position, stream, version, wordless, topic in ERASURES, tuple(faults)
    except MALFORMED:
        return leaf_hash(line), 0, "", 0, False, False, ("its line is not that of an event",)


def read_events(lines: list[bytes]) -> list[Event]:
    return [read_event(line) for line in lines]


def blocks_of(lines: Iterator[bytes]) -> Iterator[list[Event]]:
    """All events, read by as many processes as there are processors where there are many."""
    blocks = iter(lambda: list(islice(lines, BLOCK)), [])
    first = next(blocks, [])
    if len(first) < BLOCK:
        yield read_events(first)
        return
    # Ctrl-C ends this process, which ends the others.
    leave_interrupts = (signal.SIGINT, signal.SIG_IGN)
    with get_context("spawn").Pool(None, signal.signal, leave_interrupts) as processes:
        yield from processes.imap(read_events, chain([first], blocks))


class History:
    """Events in the order of the export, each held against those before it."""

    def __init__(self, auditor: Auditor, sizes: set[int]) -> None:
        """`sizes` are those at which the root is wanted."""
        self.auditor = auditor
        self.sizes = sizes
        self.roots: dict[int, bytes] = {}
        self.tree = Tree()
        self.position = 0
        self.versions: dict[str, int] = {}
        self.wordless: dict[str, list[int]] = {}
        """By stream the events whose words are gone, while no erasure of it was met."""

    def add(self, event: Event) -> None:
        leaf, position, stream, version, wordless, erases, faults = event
        expected = self.position + 1
        self.position = position or expected
        for what in faults:
            self.auditor.fault(self.position, what)
        if self.position != expected:
            self.auditor.fault(position, f"its line stands where position {expected} belongs")
        if stream:
            known = self.versions.get(stream, 0)
            if version != known + 1:
                what = f"version {version} comes after {known} in its stream"
                self.auditor.fault(position, what)
            self.versions[stream] = version
        if wordless:
            self.wordless.setdefault(stream, []).append(position)
        if erases:
            self.wordless.pop(stream, None)
        self.tree.add(leaf)
        if self.tree.size in self.sizes:
            self.roots[self.tree.size] = self.tree.root()

    def compare(self, claims: list[Checkpoint]) -> int:
        """With what was signed, smallest first. Returns how many events are as they were sealed."""
        size, tell = self.tree.size, self.auditor.fault
        good = [each.size for each in claims if self.roots.get(each.size) == each.root]
        bad = [each for each in claims if self.roots.get(each.size, each.root) != each.root]
        sealed = max(good, default=0)
        for each in bad:
            if each.size < sealed:
                tell(None, f"forked: {each.source} was signed for another history than this")
        if later := [each for each in bad if each.size > sealed]:
            until, source = later[0].size, later[0].source
            tell(sealed + 1, f"from here to {until} not all is as it was sealed, by {source}")
        if claims and claims[-1].size > size:
            last = claims[-1]
            tell(size + 1, f"it is missing, with all up to {last.size}, by {last.source}")
        if not claims:
            tell(None, "there is no checkpoint to tell what was sealed")
        return sealed


def check_export(
    head: dict[str, Any], lines: Iterator[bytes], auditor: Auditor, advance: Advance
) -> dict[str, Any]:
    """`head` is the export's first line, `lines` are those after it."""
    claimed, origin = head["head"], f"dabir/{head['log_id']}"
    if head["after"] != 0:
        raise Unusable("the export does not begin where the log does")
    claims = []
    for _, each in sorted(auditor.checkpoints.items()):
        if each.origin == origin:
            claims.append(each)
        else:
            auditor.fault(None, f"{each.source} is of another log, {each.origin}")
    history = History(auditor, {each.size for each in claims})
    for block in blocks_of(lines):
        for event in block:
            history.add(event)
        advance(history.tree.size, claimed)
    size = history.tree.size
    if head["personal"]:
        for position in sorted(chain.from_iterable(history.wordless.values())):
            auditor.fault(position, "personal is missing, and its stream was not erased")
    if size != claimed:
        auditor.fault(None, f"there are {size} events, {claimed} by the first line")
    sealed = history.compare(claims)
    figures = {"events": size, "sealed": sealed, "unsealed": size - sealed}
    return figures | {"checkpoints": len(claims), "personal": head["personal"]}


def check_inclusion(proof: dict[str, Any], auditor: Auditor) -> dict[str, Any]:
    position, leaf = proof["position"], proof["leaf"]
    path = [b64decode(each, validate=True) for each in proof["path"]]
    within = auditor.take("the proof's checkpoint", proof["checkpoint"])
    if within and not (
        1 <= position <= within.size
        and leaf.startswith(f"dabir-event/1 {position:d} ")
        and included(leaf.encode(), position - 1, within.size, path, within.root)
    ):
        auditor.fault(position, f"not proven to be one of the {within.size} events")
    return {"position": position, "size": within and within.size, "leaf": leaf}


def check_consistency(proof: dict[str, Any], auditor: Auditor) -> dict[str, Any]:
    path = [b64decode(each, validate=True) for each in proof["path"]]
    old = auditor.take("the proof's old checkpoint", proof["old"])
    new = auditor.take("the proof's new checkpoint", proof["new"])
    if old and new:
        fits = old.origin == new.origin and old.size <= new.size
        if not fits or not consistent(old.size, old.root, new.size, new.root, path):
            auditor.fault(None, f"{new.size} events not proven to begin with the {old.size}")
    return {"old": old and old.size, "new": new and new.size}


def check(path: Path, auditor: Auditor, advance: Advance = lambda *_: None) -> dict[str, Any]:
    """Figures of an export or a proof; faults go to the auditor. Raises Unusable, OSError."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        lines = iter(file)
        try:
            head = json.loads(next(lines, b""))
            if head["format"] == "dabir-inclusion/1":
                return check_inclusion(head, auditor)
            if head["format"] == "dabir-consistency/1":
                return check_consistency(head, auditor)
            if head["format"] != "dabir-export/1" or not EXPORT.issubset(head):
                raise ValueError
        except MALFORMED:
            raise Unusable(f"{path} is neither an export nor a proof of Dabir's") from None
        return check_export(head, lines, auditor, advance)


def notes_in(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Checkpoints from files, and from all `*.checkpoint` in folders. Raises OSError."""
    for place in map(Path, places):
        for path in sorted(place.glob("*.checkpoint")) if place.is_dir() else [place]:
            yield str(path), path.read_text(errors="replace")


def show(figures: dict[str, Any], auditor: Auditor, as_json: bool) -> int:
    """Print what was found, faults first. Returns the exit code."""
    for position, what in auditor.faults:
        place = "" if position is None else f"position {position}: "
        print(json.dumps({"position": position, "what": what}) if as_json else place + what)
    figures = figures | {"faults": auditor.count}
    print(json.dumps(figures) if as_json else "\n".join(f"{k}: {v}" for k, v in figures.items()))
    return 1 if auditor.count else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an export or a proof of a Dabir log.")
    parser.add_argument("export", type=Path, help="an export, or a proof")
    parser.add_argument("--key", nargs="+", required=True, help="NAME+ID+KEY, or its file")
    parser.add_argument("--checkpoints", nargs="+", default=[], help="files, or folders of them")
    parser.add_argument("--json", action="store_true", help="an object a line")
    given = parser.parse_args()
    try:
        auditor = Auditor(given.key, notes_in(given.checkpoints))
        return show(check(given.export, auditor), auditor, given.json)
    except (Unusable, OSError, EOFError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
