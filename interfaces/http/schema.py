"""The description of the HTTP interface: a page at `/schema`, the document below it."""

from copy import deepcopy
from html import escape
from typing import Any

from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin

from interfaces.http.openapi import completed
from interfaces.http.page import SCHEMA_POLICY

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="{policy}">
<title>{title}</title>
<link rel="icon" href="data:,">
<script type="module" src="/web/vendor/rapidoc-min.js"></script>
</head>
<body>
<rapi-doc spec-url="/schema/openapi.json" load-fonts="false" show-header="false"
 allow-server-selection="false" render-style="view"></rapi-doc>
</body>
</html>
"""
# Of these, a policy in the page itself may not speak.
_NOT_IN_PAGES = "; frame-ancestors 'none'"


class CompleteDocument(JsonRenderPlugin):
    """The document as the routes complete it, made when it is first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._document is None:
            document = completed(deepcopy(openapi_schema), request.app.routes)
            self._document = self.render_json(request, document)
        return self._document


class SchemaPage(OpenAPIRenderPlugin):
    """The page, with its renderer from the package."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        policy = SCHEMA_POLICY.replace(_NOT_IN_PAGES, "")
        return _PAGE.format(policy=policy, title=escape(openapi_schema["info"]["title"])).encode()


def openapi_config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Dabir",
        version=version,
        path="/schema",
        render_plugins=[SchemaPage(path="/"), CompleteDocument()],
    )
