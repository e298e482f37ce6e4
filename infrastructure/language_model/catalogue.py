"""models.toml: what clients may name, what it costs, and where it really goes."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from application.errors import ConfigurationError, ModelNotFound
from application.ports import ModelSpec
from domain.usage import Price
from infrastructure.language_model.price_map import PricedModel, PriceMap

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]
MAX_PRICE = Decimal(10**9)


class Route(msgspec.Struct, frozen=True):
    """Where a model really is. `api_base` is asked at each call: a local model's comes late."""

    spec: ModelSpec
    litellm_model: str
    api_base: Callable[[], str | None]
    api_key: Callable[[], str | None]


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    litellm_model: Id
    name: Id | None = None
    api_base: str | None = None
    api_key_env: Id | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input_price_per_million: str | None = None
    output_price_per_million: str | None = None
    fallbacks: tuple[Id, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default: Id
    models: Annotated[list[dict[str, Any]], Meta(min_length=1)]


class Catalogue:
    """The configured models, in the file's order."""

    def __init__(self, default: str, routes: Sequence[Route]) -> None:
        self._default = default
        self._routes = {route.spec.id: route for route in routes}

    @property
    def default(self) -> str:
        return self._default

    def get(self, model_id: str) -> ModelSpec:
        return self.route(model_id).spec

    def all(self) -> Sequence[ModelSpec]:
        return [route.spec for route in self._routes.values()]

    def litellm_models(self) -> Sequence[str]:
        return [route.litellm_model for route in self._routes.values()]

    def route(self, model_id: str) -> Route:
        """Raises ModelNotFound."""
        route = self._routes.get(model_id)
        if route is None:
            raise ModelNotFound("There is no such model.")
        return route


def load_catalogue(path: Path, *, currency: str, environ: Mapping[str, str]) -> Catalogue:
    """Read models.toml. Raises ConfigurationError, which names the file, the model and the field.

    `environ` holds the keys that models name; they are looked up again at each call.
    """
    file = _read(path)
    models = [_model(path, number, entry) for number, entry in enumerate(file.models, start=1)]
    ids = [model.id for model in models]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise ConfigurationError(f'{path}: two models have the id "{model_id}"')
    if file.default not in ids:
        raise ConfigurationError(f'{path}: default is "{file.default}", which is no model\'s id')
    _check_fallbacks(path, models)
    price_map = PriceMap()
    routes = [_Reader(path, model, currency, price_map, environ).route() for model in models]
    return Catalogue(file.default, routes)


def _read(path: Path) -> _File:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _model(path: Path, number: int, entry: dict[str, Any]) -> _Model:
    try:
        return msgspec.convert(entry, _Model)
    except msgspec.ValidationError as error:
        # msgspec says what is wrong and where, never the value.
        name = entry.get("id", f"number {number}")
        raise ConfigurationError(f'{path}: model "{name}": {error}') from error


def _check_fallbacks(path: Path, models: Sequence[_Model]) -> None:
    """Fallbacks are models, and following them never comes back."""
    fallbacks = {model.id: model.fallbacks for model in models}

    def follow(model_id: str, way: tuple[str, ...]) -> None:
        for fallback in fallbacks[model_id]:
            if fallback not in fallbacks:
                raise ConfigurationError(
                    f'{path}: model "{model_id}": fallbacks: there is no model "{fallback}"'
                )
            if fallback in way:
                circle = " → ".join([*way, fallback])
                raise ConfigurationError(f"{path}: fallbacks go in a circle: {circle}")
            follow(fallback, (*way, fallback))

    for model in models:
        follow(model.id, (model.id,))


class _Reader:
    """One entry of the file, completed from the price map."""

    def __init__(
        self,
        path: Path,
        model: _Model,
        currency: str,
        price_map: PriceMap,
        environ: Mapping[str, str],
    ) -> None:
        self._path = path
        self._model = model
        self._currency = currency
        self._price_map = price_map
        self._environ = environ

    def route(self) -> Route:
        model, environ = self._model, self._environ
        key_name = model.api_key_env
        if key_name is not None and not environ.get(key_name):
            raise self._wrong("api_key_env", f"the environment variable {key_name} is not set")
        own_price = self._own_price()
        known = self._known(own_price)
        spec = ModelSpec(
            id=model.id,
            name=model.name or model.id,
            context_window=self._size("context_window", model.context_window, known),
            max_output_tokens=self._size("max_output_tokens", model.max_output_tokens, known),
            price=own_price or self._map_price(known),
            fallbacks=model.fallbacks,
        )
        return Route(
            spec=spec,
            litellm_model=model.litellm_model,
            api_base=lambda: model.api_base,
            api_key=lambda: environ.get(key_name) if key_name else None,
        )

    def _known(self, own_price: Price | None) -> PricedModel | None:
        """What the map says, asked only for what the file leaves out."""
        complete = self._model.context_window and self._model.max_output_tokens and own_price
        return None if complete else self._price_map.find(self._model.litellm_model)

    def _size(self, field: str, own: int | None, known: PricedModel | None) -> int:
        size: int | None = own or getattr(known, field, None)
        if size is None:
            raise self._wrong(field, "is missing, and litellm's map does not know the model")
        return size

    def _own_price(self) -> Price | None:
        given = self._model.input_price_per_million, self._model.output_price_per_million
        if given[0] is None and given[1] is None:
            return None
        return Price(
            self._nanos("input_price_per_million", given[0]),
            self._nanos("output_price_per_million", given[1]),
            "models.toml",
        )

    def _nanos(self, field: str, text: str | None) -> int:
        if text is None:
            raise self._wrong(field, "is missing; give both prices or none")
        try:
            nanos = Decimal(text).scaleb(9)
        except InvalidOperation:
            nanos = Decimal("NaN")
        if not nanos.is_finite() or not 0 <= nanos <= MAX_PRICE.scaleb(9) or nanos % 1:
            raise self._wrong(field, 'must be a decimal such as "0.15", with nine places at most')
        return int(nanos)

    def _map_price(self, known: PricedModel | None) -> Price:
        advice = "set input_price_per_million and output_price_per_million"
        if self._currency != "USD":
            raise self._wrong(
                "input_price_per_million",
                f"is missing; the bundled prices are in USD, not {self._currency}: {advice}",
            )
        if known is None or known.price is None:
            raise self._wrong(
                "input_price_per_million",
                f'is missing, and litellm\'s map has no price for "{self._model.litellm_model}": '
                f'{advice} ("0" if it is free)',
            )
        window = self._model.context_window
        if window and known.context_window and window > known.context_window:
            raise self._wrong(
                "context_window",
                f"is {window}; the bundled price holds up to {known.context_window} tokens: "
                f"{advice}, or a smaller window",
            )
        return known.price

    def _wrong(self, field: str, what: str) -> ConfigurationError:
        return ConfigurationError(f'{self._path}: model "{self._model.id}": {field} {what}')
