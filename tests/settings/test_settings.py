"""Where settings come from, and how a wrong one is answered."""

import os
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from application.errors import ConfigurationError
from infrastructure.settings import Settings

LONG = "x" * 32


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("DABIR_")]:
        monkeypatch.delenv(name)


def complaint_of(**flags: object) -> str:
    with pytest.raises(ConfigurationError) as complaint:
        Settings(**flags)
    assert complaint.value.__cause__ is None
    assert complaint.value.__suppress_context__ or complaint.value.__context__ is None
    return str(complaint.value)


def test_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 3000, Path("data"))
    assert (settings.lease, settings.grace, settings.anon_window) == (15, 20, 86400)
    assert (settings.anon_message_limit, settings.anon_address_limit) == (20, 200)
    assert (settings.starting_balance, settings.currency) == ("0", "USD")
    assert (settings.first_token_timeout, settings.token_timeout) == (60, 30)
    assert (settings.reply_timeout, settings.max_content) == (600, 100_000)
    assert settings.max_body > 12 * settings.max_content
    assert (settings.audit_interval, settings.audit_checkpoints) == (60, None)


def test_flags_go_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("dabir.toml").write_text('port = 1\nhost = "file"\ncurrency = "EUR"\n')
    monkeypatch.setenv("DABIR_PORT", "2")
    monkeypatch.setenv("DABIR_HOST", "environment")
    settings = Settings(port=3, data_dir=None)
    assert (settings.port, settings.host, settings.currency) == (3, "environment", "EUR")
    assert settings.data_dir == Path("data")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DABIR_PORT", "DABIR_JWT_SECRET", "DABIR_VALKEY_URL", "DABIR_NONSENSE"):
        monkeypatch.setenv(name, "")
    assert (Settings().port, Settings().jwt_secret) == (3000, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("15s", 15), ("1.5s", 1.5), (" 10m ", 600), ("24h", 86400), ("7d", 604800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Settings(lease=text).lease == seconds


def test_lists_come_with_commas_or_as_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("dabir.toml").write_text(
        'trusted_proxies = ["10.0.0.0/8", "::1"]\ncors_origins = ["*"]\nstarting_balance = 5\n'
    )
    assert Settings().trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert Settings().cors_origins == ("*",)
    assert Settings().starting_balance == "5"
    monkeypatch.setenv("DABIR_CORS_ORIGINS", "https://A.example, http://localhost:5173")
    assert Settings().cors_origins == ("https://a.example", "http://localhost:5173")


def test_the_address_limit_follows_the_message_limit_until_it_is_set() -> None:
    assert Settings(anon_message_limit="7").anon_address_limit == 70
    assert Settings(anon_message_limit=7, anon_address_limit=0).anon_address_limit == 0


WRONG: list[tuple[str, Any]] = [
    ("host", ""),
    ("host", 5),
    ("port", "eighty"),
    ("port", -1),
    ("port", 65536),
    ("port", True),
    ("port", 30.5),
    ("data_dir", 5),
    ("data_dir", ""),
    ("lease", "15"),
    ("lease", 15),
    ("lease", "0s"),
    ("lease", "-1s"),
    ("lease", "1 fortnight"),
    ("lease", "١٥s"),
    ("grace", "9999999h"),
    ("secret", "short"),
    ("secret", 5),
    ("jwt_secret", "short"),
    ("jwt_secret", "é" * 15),
    ("jwks", ""),
    ("jwks", "https://"),
    ("jwks", "https://somebody:password@id.example/keys"),
    ("jwks", "https://id.example:port/keys"),
    ("jwt_algorithm", "none"),
    ("jwt_algorithm", "RS512"),
    ("jwt_issuer", ""),
    ("jwt_audience", " "),
    ("anon_policy", "closed"),
    ("anon_message_limit", -1),
    ("anon_message_limit", "many"),
    ("anon_address_limit", -1),
    ("anon_window", "0s"),
    ("starting_balance", "-1"),
    ("starting_balance", "1e3"),
    ("starting_balance", "1.0000000001"),
    ("starting_balance", "NaN"),
    ("starting_balance", 0.1),
    ("starting_balance", True),
    ("currency", "usd"),
    ("currency", "EURO"),
    ("currency", "USD\n"),
    ("cors_origins", "https://a.example/path"),
    ("cors_origins", "https://a.example/"),
    ("cors_origins", "https://somebody@a.example"),
    ("cors_origins", "a.example"),
    ("cors_origins", "*,https://a.example"),
    ("cors_origins", "https://a.example:port"),
    ("cors_origins", 5),
    ("cors_origins", [5]),
    ("trusted_proxies", "proxy.internal"),
    ("trusted_proxies", "10.0.0.1/8"),
    ("trusted_proxies", [10]),
    ("models_file", ""),
    ("first_token_timeout", "0ms"),
    ("token_timeout", "soon"),
    ("reply_timeout", "0s"),
    ("max_content", 0),
    ("max_content", 10_000_001),
    ("audit_interval", "60"),
    ("audit_checkpoints", " "),
    ("audit_checkpoints", "https://"),
    ("audit_checkpoints", "https://somebody:password@audit.example/"),
    ("log_format", "xml"),
    ("log_level", "INFO"),
    ("otel_endpoint", "localhost:4318"),
    ("otel_endpoint", "https://somebody:password@collector.example/"),
    ("otel_ratio", "2"),
    ("otel_ratio", "nan"),
]


@pytest.mark.parametrize(("setting", "value"), WRONG)
def test_a_wrong_value_is_answered_with_the_setting_and_what_is_allowed(
    setting: str, value: object
) -> None:
    allowed = Settings.model_fields[setting].description
    written = setting.replace("_", "-")
    assert complaint_of(**{setting: value}) == f"--{written} must be {allowed}."


def test_a_complaint_names_the_setting_as_the_operator_wrote_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("dabir.toml").write_text("lease = 15\nport = 99999\n")
    monkeypatch.setenv("DABIR_PORT", "99999")
    monkeypatch.setenv("dabir_currency", "dollars")
    assert complaint_of(anon_policy="closed").splitlines() == [
        "DABIR_PORT must be a port from 0 (any) to 65535.",
        "`lease` in dabir.toml must be a duration above zero, such as 15s.",
        "--anon-policy must be open or signed.",
        "dabir_currency must be three capital letters, such as EUR.",
    ]


def test_unknown_names_are_answered_with_the_likely_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("dabir.toml").write_text("Prot = 1\nzzz = 2\n[settings]\nname = 1\n")
    assert complaint_of().splitlines() == [
        "`Prot` in dabir.toml is not a setting. Did you mean `port`?",
        "`zzz` in dabir.toml is not a setting.",
        "`settings` in dabir.toml is not a setting.",
    ]
    monkeypatch.setenv("DABIR_PROT", "1")
    monkeypatch.setenv("DABIR_QQQ", "1")
    assert complaint_of().splitlines() == [
        "DABIR_PROT is not a setting. Did you mean DABIR_PORT?",
        "DABIR_QQQ is not a setting.",
    ]


def test_a_broken_file_is_answered_with_the_place() -> None:
    Path("dabir.toml").write_text("port =\n")
    assert complaint_of().startswith("dabir.toml is not TOML: Invalid value (at line 1")
    Path("dabir.toml").write_bytes(b"host = '\xff'")
    assert complaint_of() == "dabir.toml cannot be read: UnicodeDecodeError."


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            {"jwt_secret": LONG, "jwks": "keys.json"},
            "--jwt-secret and --jwks: set one of the two.",
        ),
        (
            {"master_key": LONG, "master_key_file": "master.key"},
            "--master-key and --master-key-file: set one of the two.",
        ),
        (
            {"jwt_secret": LONG, "jwt_algorithm": "RS256"},
            "--jwt-algorithm must be HS256 with --jwt-secret.",
        ),
        (
            {"jwks": "keys.json", "jwt_algorithm": "HS256"},
            "--jwt-algorithm must be RS256, ES256 or EdDSA with --jwks.",
        ),
        (
            {"jwt_issuer": "https://id.example"},
            "--jwt-issuer needs DABIR_JWT_SECRET or DABIR_JWKS beside it.",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    flags: dict[str, str], complaint: str
) -> None:
    assert complaint_of(**flags) == complaint


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("database_url", "mysql://somebody:hunter2@db/dabir"),
        ("database_url", "postgresql://"),
        ("valkey_url", "http://:hunter2@cache:6379"),
        ("valkey_url", "valkey://"),
    ],
)
def test_an_address_of_something_else_is_refused_and_not_repeated(
    setting: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"DABIR_{setting.upper()}"
    monkeypatch.setenv(variable, address)
    complaint = complaint_of(secret=LONG)
    assert complaint.startswith(f"{variable} must be an address")
    assert "hunter2" not in complaint


def test_nodes_on_one_database_need_one_secret() -> None:
    url = "postgres://somebody:hunter2@db/dabir"
    complaint = complaint_of(database_url=url)
    assert "needs DABIR_SECRET beside it" in complaint
    assert "hunter2" not in complaint
    settings = Settings(database_url=url, secret=LONG)
    assert settings.postgres_url == "postgresql://somebody:hunter2@db/dabir"
    assert "hunter2" not in repr(settings)


def test_each_algorithm_fits_its_source() -> None:
    assert Settings(jwt_secret=LONG, jwt_algorithm="HS256").jwt_algorithm == "HS256"
    for algorithm in ("RS256", "ES256", "EdDSA"):
        assert Settings(jwks="keys.json", jwt_algorithm=algorithm).jwt_algorithm == algorithm


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "hunter2-hunter2-hunter2-hunter2-hunter2"
    monkeypatch.setenv("DABIR_SECRET", hidden)
    monkeypatch.setenv("DABIR_JWT_SECRET", hidden)
    settings = Settings()
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == hidden
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    monkeypatch.setenv("DABIR_SECRET", "hunter2")
    monkeypatch.setenv("DABIR_PORT", "hunter2")
    assert "hunter2" not in complaint_of()


def test_the_starting_balance_is_a_decimal_that_can_be_counted() -> None:
    assert Decimal(Settings(starting_balance="12.345678901").starting_balance) == Decimal(
        "12.345678901"
    )


def test_every_setting_says_what_is_allowed_and_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `DABIR_")]
    documented = {(row[1].strip().strip("`"), row[2].strip().strip("`")) for row in rows}
    assert documented == {(f"DABIR_{name.upper()}", name) for name in Settings.model_fields}
    assert all(field.description for field in Settings.model_fields.values())
