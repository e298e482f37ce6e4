"""Litestar, without what no route here uses."""

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin


class BareLitestar(Litestar):
    """All that is read and answered are msgspec's Structs.

    Litestar's own plugins for models of pydantic and attrs would load pydantic's first version,
    too, and be asked about each parameter.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
