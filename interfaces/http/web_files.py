"""The files of the pages, as they go over the wire: named by release, compressed once."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from litestar import HttpMethod, Request, Response
from litestar.exceptions import NotFoundException

MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""What is served; everything else in the folder is for those who read it there."""

READING = (HttpMethod.GET, HttpMethod.HEAD)
"""Of the second only the headers are sent."""

UNCHANGING = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"
WORTH_COMPRESSING = 1024
RELEASE = re.compile("[0-9a-f]{12}")


class WebFile(msgspec.Struct):
    body: bytes
    media_type: str
    tag: str
    compressed: bytes | None = None


class WebFiles:
    """All files below a folder. `release` changes with any of them, and stands in their addresses.

    So browsers keep a file for good, and a new release's modules never mix with the old one's.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        self._files = dict(_served(folder or files("interfaces") / "web", ""))
        all_tags = "".join(f"{name} {file.tag}\n" for name, file in sorted(self._files.items()))
        self.release = hashlib.sha256(all_tags.encode()).hexdigest()[:12]

    def text(self, name: str) -> str:
        return self._files[name].body.decode()

    def names(self, path: str) -> list[str]:
        """A file's own, or all below a folder whose path ends in a slash."""
        return sorted(name for name in self._files if name.startswith(path))

    async def response(
        self, request: Request[Any, Any, Any], path: str, headers: dict[str, str]
    ) -> Response[bytes]:
        """The file at a path below `/web/`, with or without a release before it.

        Raises NotFoundException. Pages themselves are not among them.
        """
        first, _, rest = path.lstrip("/").partition("/")
        # A page of another release, still open, gets what there is now.
        name = rest if RELEASE.fullmatch(first) else path.lstrip("/")
        file = self._files.get(name)
        if file is None or name.endswith(".html"):
            raise NotFoundException
        keep = UNCHANGING if first == self.release else ASK_EACH_TIME
        return await answer(request, file, headers | {"cache-control": keep})


async def answer(
    request: Request[Any, Any, Any], file: WebFile, headers: dict[str, str]
) -> Response[bytes]:
    """A file as this client takes it, or 304 where it has it already."""
    headers = headers | {"etag": f'"{file.tag}"', "vary": "accept-encoding"}
    if f'"{file.tag}"' in request.headers.get("if-none-match", "").replace("W/", ""):
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    body = file.body
    if len(body) >= WORTH_COMPRESSING and _takes_gzip(request.headers.get("accept-encoding", "")):
        if file.compressed is None:
            file.compressed = await asyncio.to_thread(gzip.compress, body, mtime=0)
        body, headers = file.compressed, headers | {"content-encoding": "gzip"}
    return Response(body, media_type=file.media_type, headers=headers)


def file_of(body: bytes, media_type: str) -> WebFile:
    return WebFile(body, media_type, hashlib.sha256(body).hexdigest()[:16])


def _served(folder: Traversable, prefix: str) -> Iterator[tuple[str, WebFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _served(entry, f"{prefix}{entry.name}/")
        elif media_type := MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}"):
            yield prefix + entry.name, file_of(entry.read_bytes(), media_type)


def _takes_gzip(accepted: str) -> bool:
    for coding in accepted.split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
