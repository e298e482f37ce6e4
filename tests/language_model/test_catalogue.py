"""models.toml is read whole or refused, with words that say what to change."""

import subprocess
import sys
from pathlib import Path

import pytest

from application.errors import ConfigurationError, ModelNotFound
from application.ports import Models
from domain.usage import Price
from infrastructure.language_model.catalogue import Catalogue, load_catalogue
from infrastructure.language_model.price_map import PriceMap

OWN = """
[[models]]
id = "own"
name = "Our own"
litellm_model = "openai/our-own"
api_base = "http://127.0.0.1:8899/v1"
api_key_env = "OUR_KEY"
context_window = 2048
max_output_tokens = 512
input_price_per_million = "0.15"
output_price_per_million = "0.000000001"
fallbacks = ["known"]
"""
KNOWN = """
[[models]]
id = "known"
litellm_model = "anthropic/claude-sonnet-4-5"
"""
ENVIRON = {"OUR_KEY": "sk-very-secret"}


def test_models_are_read_with_prices_in_nanos(tmp_path: Path) -> None:
    catalogue = _load(tmp_path, 'default = "own"' + OWN + KNOWN)
    assert catalogue.default == "own"
    assert [spec.id for spec in catalogue.all()] == ["own", "known"]
    own = catalogue.get("own")
    assert (own.name, own.context_window, own.max_output_tokens) == ("Our own", 2048, 512)
    assert own.price == Price(150_000_000, 1, "models.toml")
    assert own.fallbacks == ("known",)
    route = catalogue.route("own")
    assert (route.api_base(), route.api_key()) == ("http://127.0.0.1:8899/v1", "sk-very-secret")


def test_what_is_left_out_comes_from_the_bundled_map(tmp_path: Path) -> None:
    known = _load(tmp_path, 'default = "known"' + KNOWN).get("known")
    assert known.name == "known"
    assert known.context_window == 200_000
    assert known.max_output_tokens > 0
    assert known.price.input_per_million == 3_000_000_000
    assert known.price.output_per_million == 15_000_000_000
    assert known.price.source.startswith("litellm 1.")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("gpt-4o-mini", True),
        ("openai/gpt-4o-mini", True),
        ("deepseek/deepseek-chat", True),
        ("mistral/gpt-4o-mini", False),
        ("openai/claude-sonnet-4-5", False),
        ("sample_spec", False),
        ("openai/text-embedding-3-small", False),
        ("no-such-model", False),
    ],
)
def test_a_model_is_found_under_its_own_provider_only(named: str, found: bool) -> None:
    assert (PriceMap().find(named) is not None) == found


def test_loading_does_not_import_litellm(tmp_path: Path) -> None:
    path = _write(tmp_path, 'default = "known"' + KNOWN)
    script = (
        "import sys; from pathlib import Path\n"
        "from infrastructure.language_model.catalogue import load_catalogue\n"
        "import infrastructure.language_model.gateway, infrastructure.language_model.local\n"
        f"load_catalogue(Path({str(path)!r}), currency='USD', environ={{}})\n"
        "assert not {'litellm', 'openai', 'tiktoken', 'xllamacpp'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_example_is_a_good_file() -> None:
    keys = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2"}
    example = Path(__file__).parents[2] / "models.example.toml"
    models: Models = load_catalogue(example, currency="USD", environ=keys)
    assert [spec.id for spec in models.all()] == ["small", "thorough", "own"]


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        _load(tmp_path, 'default = "known"' + KNOWN).get("other")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('default = "a"\n[models\n', "line 2"),
        ("", "default"),
        ('default = "a"\nmodels = []', "models"),
        ('default = "other"' + KNOWN, 'default is "other"'),
        ('default = "known"' + KNOWN + KNOWN, 'two models have the id "known"'),
        ('default = "known"' + KNOWN + "colour = 1", 'model "known": Object'),
        ('default = "known"' + KNOWN.replace("id =", "name ="), 'model "number 1"'),
        ('default = "known"' + KNOWN + "context_window = 0", "context_window"),
        (
            'default = "known"' + KNOWN + 'context_window = "big"',
            "got `str` - at `$.context_window`",
        ),
        ('default = "known"' + KNOWN + 'fallbacks = ["x"]', '"known": fallbacks'),
        ('default = "known"' + KNOWN + 'fallbacks = ["known"]', "known → known"),
        ('default = "own"' + OWN + KNOWN + 'fallbacks = ["own"]', "own → known → own"),
        ('default = "known"' + KNOWN + 'api_key_env = "NO_SUCH"', "variable NO_SUCH is not set"),
        ('default = "known"' + KNOWN + 'input_price_per_million = "1"', "give both prices"),
        ('default = "own"' + OWN.replace('"0.15"', "0.15"), "input_price_per_million"),
        ('default = "own"' + OWN.replace('"0.15"', '"-1"') + KNOWN, "input_price_per_million"),
        ('default = "own"' + OWN.replace('"0.15"', '"NaN"') + KNOWN, "input_price_per_million"),
        ('default = "own"' + OWN.replace('"0.15"', '"1e-10"') + KNOWN, "nine places"),
        ('default = "known"' + KNOWN.replace("anthropic/", "x/"), "context_window is missing"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _load(tmp_path, text)
    assert words in str(refused.value)
    assert str(tmp_path / "models.toml") in str(refused.value)
    assert "sk-very-secret" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read"):
        load_catalogue(tmp_path / "nowhere.toml", currency="USD", environ={})


def test_a_model_without_price_is_refused_with_what_to_add(tmp_path: Path) -> None:
    sizes = "context_window = 10\nmax_output_tokens = 5"
    text = 'default = "known"' + KNOWN.replace("anthropic/", "x/") + sizes
    with pytest.raises(ConfigurationError, match=r"set input_price_per_million and output_price"):
        _load(tmp_path, text)


def test_bundled_prices_are_refused_in_another_currency(tmp_path: Path) -> None:
    path = _write(tmp_path, 'default = "known"' + KNOWN)
    with pytest.raises(ConfigurationError, match="in USD, not EUR"):
        load_catalogue(path, currency="EUR", environ={})


def test_a_window_beyond_the_bundled_price_needs_prices(tmp_path: Path) -> None:
    text = 'default = "known"' + KNOWN + "context_window = 1000000"
    with pytest.raises(ConfigurationError, match="holds up to 200000 tokens"):
        _load(tmp_path, text)


def _load(tmp_path: Path, text: str) -> Catalogue:
    return load_catalogue(_write(tmp_path, text), currency="USD", environ=ENVIRON)


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path
