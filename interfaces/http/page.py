"""The built-in page and the libraries it uses, all of it from the package."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The renderer of the API's description writes its own style elements.
SCHEMA_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

_MEDIA_TYPES = {
    "index.html": "text/html",
    "app.js": "text/javascript",
    "style.css": "text/css",
    "vendor/socket.io.esm.min.js": "text/javascript",
    "vendor/rapidoc-min.js": "text/javascript",
}
"""Everything that is served, and as what."""

_WEB: Traversable = files("interfaces") / "web"


def file_response(name: str, policy: str = PAGE_POLICY) -> Response[bytes]:
    """A file of the page. Browsers ask again each time, as a new release keeps the names."""
    body = (_WEB / name).read_bytes()
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return Response(body, media_type=_MEDIA_TYPES[name], headers=headers)


def page_routes() -> list[HTTPRouteHandler]:
    """The page at `/`, its files below `/web`."""

    @get("/", include_in_schema=False)
    async def index() -> Response[bytes]:
        return file_response("index.html")

    @get("/web/{name:path}", include_in_schema=False)
    async def asset(name: FromPath[str]) -> Response[bytes]:
        known = name.lstrip("/")
        if known not in _MEDIA_TYPES:
            raise NotFoundException
        return file_response(known)

    return [index, asset]
