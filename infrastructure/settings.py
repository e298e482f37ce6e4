"""What an operator may set: flags over `DABIR_…` variables over dabir.toml over the defaults."""

import os
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from application.errors import ConfigurationError
from infrastructure.settings_values import (
    SHORTEST_SECRET,
    CheckpointTarget,
    Currency,
    DatabaseUrl,
    HttpAddress,
    Jwks,
    Location,
    LogFormat,
    LogLevel,
    Networks,
    Origins,
    PlainDecimal,
    Seconds,
    Secret,
    Secrets,
    Text,
    ValkeyUrl,
    WholeNumber,
)
from infrastructure.whole_files import make_once

PREFIX = "DABIR_"
FILE = "dabir.toml"
SECRET_FILE = "secret.key"  # noqa: S105 - its name, not its content

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
AnonymousPolicy = Literal["open", "signed"]


def _a_limit(default: int) -> Any:
    return Field(
        default, ge=0, le=10_000_000, description="a whole number from 0 (no limit) to 10000000"
    )


class Settings(BaseSettings):
    """All settings, checked. A field's description says what is allowed, as errors quote it.

    Keyword arguments are the flags; None is a flag not given. Raises ConfigurationError, one line
    for each thing wrong. Durations are seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        validate_default=False,
        hide_input_in_errors=True,
    )

    host: Text = Field("127.0.0.1", description="an address to listen on, such as 0.0.0.0 or ::")
    port: WholeNumber = Field(3000, ge=0, le=65535, description="a port from 0 (any) to 65535")
    data_dir: Location = Field(Path("data"), description="a folder")
    workers: WholeNumber = Field(1, ge=1, le=64, description="a whole number from 1 to 64")
    database_url: DatabaseUrl | None = Field(
        None, description="an address such as postgresql://user:password@host/database"
    )
    valkey_url: ValkeyUrl | None = Field(
        None, description="an address such as valkey://host:6379 or valkeys://:password@host"
    )
    lease: Seconds = Field(15.0, gt=0, description="a duration above zero, such as 15s")
    grace: Seconds = Field(20.0, ge=0, description="a duration, such as 20s")
    secret: Secret | None = Field(None, description="at least 32 bytes long")
    master_key: Secrets | None = Field(
        None, description="a key of at least 32 bytes, and older ones after it, by spaces"
    )
    master_key_file: Location | None = Field(None, description="a file")
    jwt_secret: Secret | None = Field(None, description="at least 32 bytes long")
    jwks: Jwks | None = Field(
        None, description="a file, or an http(s) address without a user name in it"
    )
    jwt_algorithm: Algorithm | None = Field(None, description="HS256, RS256, ES256 or EdDSA")
    jwt_issuer: Text | None = Field(None, description="the issuer that tokens name")
    jwt_audience: Text | None = Field(None, description="the audience that tokens name")
    anon_policy: AnonymousPolicy = Field("open", description="open or signed")
    anon_message_limit: WholeNumber = Field(
        20, ge=0, le=1_000_000, description="a whole number from 0 to 1000000"
    )
    anon_address_limit: WholeNumber = Field(
        default_factory=lambda given: 10 * given["anon_message_limit"],
        ge=0,
        le=10_000_000,
        description="a whole number from 0 (no limit) to 10000000",
    )
    anon_window: Seconds = Field(86400.0, gt=0, description="a duration above zero, such as 24h")
    starting_balance: PlainDecimal = Field(
        "0", description="a plain decimal such as 2.50, not negative, with at most nine places"
    )
    currency: Currency = Field("USD", description="three capital letters, such as EUR")
    cors_origins: Origins = Field(
        (),
        description="* alone, or origins such as https://example.org with no path, by commas",
    )
    sign_in_url: HttpAddress | None = Field(None, description="an http(s) address")
    top_up_url: HttpAddress | None = Field(None, description="an http(s) address")
    trusted_proxies: Networks = Field(
        (), description="IP addresses or networks such as 10.0.0.0/8, by commas"
    )
    models_file: Location = Field(Path("models.toml"), description="a file")
    first_token_timeout: Seconds = Field(
        60.0, gt=0, description="a duration above zero, such as 60s"
    )
    token_timeout: Seconds = Field(30.0, gt=0, description="a duration above zero, such as 30s")
    reply_timeout: Seconds = Field(600.0, gt=0, description="a duration above zero, such as 10m")
    max_content: WholeNumber = Field(
        100_000, ge=1, le=10_000_000, description="a whole number from 1 to 10000000 (characters)"
    )
    send_rate: WholeNumber = _a_limit(1_200)
    request_rate: WholeNumber = _a_limit(12_000)
    address_send_rate: WholeNumber = _a_limit(60_000)
    address_request_rate: WholeNumber = _a_limit(120_000)
    address_strangers: WholeNumber = _a_limit(20_000)
    open_streams: WholeNumber = _a_limit(1_000)
    open_sockets: WholeNumber = _a_limit(1_000)
    address_open_streams: WholeNumber = _a_limit(10_000)
    address_open_sockets: WholeNumber = _a_limit(10_000)
    request_timeout: Seconds = Field(30.0, gt=0, description="a duration above zero, such as 30s")
    unread_timeout: Seconds = Field(30.0, gt=0, description="a duration above zero, such as 30s")
    audit_interval: Seconds = Field(60.0, ge=0, description="a duration, such as 60s")
    audit_checkpoints: CheckpointTarget | None = Field(
        None, description="a folder, or an http(s) address without a user name in it"
    )
    log_format: LogFormat = Field("auto", description="auto, json or console")
    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    otel_endpoint: HttpAddress | None = Field(
        None, description="an http(s) address without a user name in it"
    )
    otel_ratio: float = Field(1.0, ge=0, le=1, description="a number from 0 to 1")

    def __init__(self, **flags: Any) -> None:
        given = {name: value for name, value in flags.items() if value is not None}
        written = _Written(given, type(self).model_fields)
        if unknown := list(written.unknown_variables()):
            raise ConfigurationError("\n".join(unknown))
        try:
            super().__init__(**given)
        except ValidationError as error:
            # Not chained: the validator's own report can hold the values.
            raise ConfigurationError(written.complaints(error)) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{FILE} is not TOML: {error}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{FILE} cannot be read: {type(error).__name__}.") from None
        if refusals := list(_contradictions(self, written)):
            raise ConfigurationError("\n".join(refusals))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(FILE))

    @property
    def postgres_url(self) -> str | None:
        """The address of the database, with its password; None on SQLite."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def max_body(self) -> int:
        """Bytes of the largest request body: `max_content`, each character escaped as a pair."""
        return 12 * self.max_content + 16_384


class _Written:
    """What each setting is called where the operator wrote it."""

    def __init__(self, flags: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        self._flags = flags
        self._fields = fields
        self._variables = {
            name.upper().removeprefix(PREFIX).lower(): name
            for name, value in os.environ.items()
            if name.upper().startswith(PREFIX) and value
        }

    def name(self, setting: str) -> str:
        if setting in self._flags:
            return "--" + setting.replace("_", "-")
        return self._variables.get(setting) or f"`{setting}` in {FILE}"

    def unknown_variables(self) -> Iterator[str]:
        for setting, variable in sorted(self._variables.items()):
            if setting not in self._fields:
                yield self._unknown(setting, variable, lambda near: PREFIX + near.upper())

    def complaints(self, error: ValidationError) -> str:
        return "\n".join(
            self._complaint(str(problem["loc"][0]), problem["type"])
            for problem in error.errors(include_input=False, include_context=False)
            if problem["type"] != "default_factory_not_called"
        )

    def _complaint(self, setting: str, problem: str) -> str:
        if problem == "extra_forbidden":
            return self._unknown(setting, self.name(setting), lambda near: f"`{near}`")
        return f"{self.name(setting)} must be {self._fields[setting].description}."

    def _unknown(self, setting: str, written: str, spell: Callable[[str], str]) -> str:
        near = get_close_matches(setting.lower(), self._fields, n=1)
        hint = f" Did you mean {spell(near[0])}?" if near else ""
        return f"{written} is not a setting.{hint}"


def _contradictions(settings: Settings, written: _Written) -> Iterator[str]:
    """What is wrong though each setting alone is fine."""
    if settings.database_url is not None and settings.secret is None:
        yield (
            f"{written.name('database_url')} needs {PREFIX}SECRET beside it, the same on all nodes."
        )
    if settings.workers > 1 and settings.database_url is None:
        yield f"{written.name('workers')} above 1 needs {PREFIX}DATABASE_URL: SQLite serves one."
    if settings.jwt_secret is not None and settings.jwks is not None:
        yield f"{written.name('jwt_secret')} and {written.name('jwks')}: set one of the two."
    if settings.master_key is not None and settings.master_key_file is not None:
        yield (
            f"{written.name('master_key')} and {written.name('master_key_file')}: "
            "set one of the two."
        )
    yield from _unfit_for_tokens(settings, written)


def _unfit_for_tokens(settings: Settings, written: _Written) -> Iterator[str]:
    if settings.jwt_secret is None and settings.jwks is None:
        for setting in ("jwt_algorithm", "jwt_issuer", "jwt_audience"):
            if getattr(settings, setting) is not None:
                yield f"{written.name(setting)} needs {PREFIX}JWT_SECRET or {PREFIX}JWKS beside it."
    elif settings.jwt_algorithm is not None:
        by_secret = settings.jwks is None
        if by_secret != (settings.jwt_algorithm == "HS256"):
            source = "jwt_secret" if by_secret else "jwks"
            fit = "HS256" if by_secret else "RS256, ES256 or EdDSA"
            yield f"{written.name('jwt_algorithm')} must be {fit} with {written.name(source)}."


def load_secret(data_dir: Path, configured: SecretStr | None) -> bytes:
    """The secret behind all HMACs: the configured one, else one made once in the data folder.

    The file holds text, so that its content can become `DABIR_SECRET` one day and nothing changes.
    Raises ConfigurationError.
    """
    if configured is not None:
        return configured.get_secret_value().encode()
    path = data_dir / SECRET_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            make_once(path, secrets.token_hex(32).encode())
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made or read: {error.strerror}.") from None
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(f"{path} must hold at least {SHORTEST_SECRET} bytes.")
    return secret


def load_master_keys(settings: Settings) -> list[str]:
    """The master keys: the one that wraps first, and older ones. Empty where none is set.

    Raises ConfigurationError.
    """
    if settings.master_key is not None:
        return settings.master_key.get_secret_value().split()
    path = settings.master_key_file
    if path is None:
        return []
    try:
        written = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}.") from None
    if not written or any(len(key.encode()) < SHORTEST_SECRET for key in written):
        raise ConfigurationError(
            f"{path} must hold keys of at least {SHORTEST_SECRET} bytes, the newest one first."
        )
    return written
