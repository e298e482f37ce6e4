"""The description of the Socket.IO interface: the document, and a page that shows it."""

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from interfaces.http.page import PAGE_POLICY, headers_of
from interfaces.http.web_files import READING, WebFiles, answer, file_of
from interfaces.ws.asyncapi import asyncapi_document

_HEADERS = headers_of(PAGE_POLICY)


def asyncapi_routes(files: WebFiles) -> list[HTTPRouteHandler]:
    """`/asyncapi.json` and `/asyncapi`. The page needs nothing but its own modules and styles."""
    document = file_of(msgspec.json.encode(asyncapi_document(version("dabir"))), "application/json")
    page = file_of(files.text("asyncapi.html").encode(), "text/html")

    @route("/asyncapi.json", http_method=READING, include_in_schema=False)
    async def show_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await answer(request, document, _HEADERS)

    @route("/asyncapi", http_method=READING, include_in_schema=False)
    async def show_page(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await answer(request, page, _HEADERS)

    return [show_document, show_page]
