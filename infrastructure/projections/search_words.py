"""What a word is: texts folded to what is found, whatever the script, and snippets of them."""

import re
import unicodedata
from collections.abc import Sequence
from uuid import UUID

import msgspec

SNIPPET_BEFORE = 40
SNIPPET_LENGTH = 160

REMEMBERED = 50_000
REMEMBERED_LENGTH = 32
"""Words whose plain form is remembered, and their length at most, in characters."""

# Vowel signs and the like that are written or left out at will. Not the marks of Indian scripts,
# which are parts of the word.
_optional_marks = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]")
_persian_letters = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
# Scripts that put no space between words: each character counts as one.
_unspaced = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Entry(msgspec.Struct, frozen=True):
    """`owner` is the hexadecimal form of an id: a term as any other."""

    number: int
    owner: str
    content: str


def term_of(owner: UUID) -> str:
    """Also of an owner that is given as an id's text."""
    return str(owner).replace("-", "")


def words_of(query: str) -> list[str]:
    """The query's words, as the index knows them. Nothing in them is syntax any more."""
    words = [plain(word) for word in re.split(r'[\s"\0]+', query)]
    return [word for word in words if any(character.isalnum() for character in word)]


def snippet_of(content: str, words: Sequence[str]) -> str:
    """Plain text around the first place where one of the words begins, on one line."""
    start = max(0, _first_match(content, words) - SNIPPET_BEFORE)
    if start:
        # At a word's border, where there is one near.
        space = content.find(" ", start, start + SNIPPET_BEFORE)
        start = space + 1 if space >= 0 else start
    line = " ".join(content[start : start + 2 * SNIPPET_LENGTH].split())
    shown = line[:SNIPPET_LENGTH]
    cut = len(shown) < len(line) or start + 2 * SNIPPET_LENGTH < len(content)
    return f"{'…' if start else ''}{shown}{'…' if cut else ''}"


def _first_match(content: str, words: Sequence[str]) -> int:
    pattern = _beginning_of_any(words)
    folded = _folded(content)
    if len(folded) == len(content):
        match = pattern.search(folded)
        return match.start() if match else 0
    for chunk in re.finditer(r"\S+", content):
        if pattern.search(_folded(chunk.group())):
            return chunk.start()
    return 0


def _beginning_of_any(words: Sequence[str]) -> re.Pattern[str]:
    firsts = {match.group() for word in words if (match := re.search(r"\w+", word))}
    alternatives = [
        re.escape(first) if _unspaced.match(first) else rf"(?<!\w){re.escape(first)}"
        for first in sorted(firsts)
    ]
    return re.compile("|".join(alternatives), re.IGNORECASE)


def plain(content: str) -> str:
    """The text as it is indexed: folded, and with spaces between what is read alone."""
    return _spaced(_folded(content))


def _folded(content: str) -> str:
    """The text without what people write in more than one way. Case is the index's own matter."""
    if content.isascii():
        return content
    # No sign reaches over a space, and people use few words again and again.
    return " ".join(map(_folded_words.__getitem__, content.split(" ")))


class _FoldedWords(dict[str, str]):
    """Makes what it is asked for. A dict, as `lru_cache` takes twice as long to find a word."""

    def __missing__(self, word: str) -> str:
        folded = _fold(word)
        if len(word) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED:
                self.clear()
            self[word] = folded
        return folded


_folded_words = _FoldedWords()


def _fold(content: str) -> str:
    bare = _optional_marks.sub("", unicodedata.normalize("NFKD", content))
    return unicodedata.normalize("NFC", bare).translate(_persian_letters)


def _spaced(content: str) -> str:
    # What needs no spaces is the rule, and sooner seen than replaced.
    if content.isascii() or _unspaced.search(content) is None:
        return content
    return _unspaced.sub(r" \g<0> ", content)
