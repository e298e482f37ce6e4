"""The prices and sizes of models that litellm's package brings along, read without importing it."""

import re
from importlib.metadata import version
from typing import Any

import msgspec

from domain.usage import Price
from infrastructure.language_model.packages import package_folder

MAP_FILE = "model_prices_and_context_window_backup.json"
CHAT_MODES = {"chat", "completion", "responses"}
TIER = re.compile(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens")
NANOS_PER_MILLION = 10**15
"""A price per token, in nanos per million tokens."""


class PricedModel(msgspec.Struct, frozen=True):
    """What the map knows of a model. Sizes in tokens, None where it does not say."""

    price: Price | None
    context_window: int | None
    max_output_tokens: int | None


class PriceMap:
    """litellm's bundled map, in US dollars; read on first use (some 30 ms)."""

    def __init__(self) -> None:
        self._entries: dict[str, Any] | None = None

    def find(self, litellm_model: str) -> PricedModel | None:
        """The entry of a model as litellm names it, `provider/name` or a bare name."""
        entry = self._entry(litellm_model)
        if entry is None:
            return None
        window = _tokens(entry, "max_input_tokens") or _tokens(entry, "max_tokens")
        return PricedModel(
            price=self._price(entry),
            context_window=_below_dearer_tier(entry, window),
            max_output_tokens=_tokens(entry, "max_output_tokens") or _tokens(entry, "max_tokens"),
        )

    def _entry(self, litellm_model: str) -> dict[str, Any] | None:
        entries = self._load()
        provider, slash, name = litellm_model.partition("/")
        entry = entries.get(litellm_model)
        if entry is None and slash:
            bare = entries.get(name, {})
            entry = bare if bare.get("litellm_provider") == provider else None
        return entry if entry and entry.get("mode") in CHAT_MODES else None

    def _price(self, entry: dict[str, Any]) -> Price | None:
        """None where there is none, or zero: a model is free only where the operator says so."""
        prices = [_price(entry, "input"), _price(entry, "output")]
        if None in prices or not any(prices):
            return None
        return Price(prices[0] or 0, prices[1] or 0, f"litellm {version('litellm')}")

    def _load(self) -> dict[str, Any]:
        if self._entries is None:
            folder = package_folder("litellm")
            if folder is None:
                raise RuntimeError("litellm is not installed")
            self._entries = msgspec.json.decode(
                (folder / MAP_FILE).read_bytes(), type=dict[str, Any]
            )
        return self._entries


def _price(entry: dict[str, Any], side: str) -> int | None:
    """Nanos for a million tokens; rounding mends what floats like 1.5e-07 lack."""
    price = entry.get(f"{side}_cost_per_token")
    return round(price * NANOS_PER_MILLION) if isinstance(price, int | float) else None


def _tokens(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return int(value) if isinstance(value, int | float) and value > 0 else None


def _below_dearer_tier(entry: dict[str, Any], window: int | None) -> int | None:
    """The window up to where the map's plain price holds: some cost more in long contexts."""
    tiers = [int(found[1]) * 1000 for key in entry if (found := TIER.fullmatch(key))]
    return min([window, *tiers]) if window else None
