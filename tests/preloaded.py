"""What a server imports, loaded once for all that are forked (`tests.forked`)."""

import gc
import importlib
import os

from infrastructure.language_model import litellm_library

os.environ.update(litellm_library.ENVIRONMENT)
for name in (
    "litellm",
    "dabir",
    "infrastructure.audit.trail",
    "infrastructure.event_store.store",
    "infrastructure.identity",
    "infrastructure.language_model.gateway",
    "infrastructure.live_replies.shared",
    "infrastructure.observer",
    "infrastructure.postgres",
    "infrastructure.projections.views",
    "infrastructure.rate_limits",
    "infrastructure.server",
    "interfaces.http.routes",
    "interfaces.http.schema",
    "interfaces.sse.messages",
    "interfaces.ws.sockets",
    "litestar",
    "sqlalchemy.ext.asyncio",
    "valkey.asyncio",
):
    importlib.import_module(name)
gc.freeze()
