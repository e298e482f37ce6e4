# Every task of the project. `just` alone lists them.
set shell := ["bash", "-euo", "pipefail", "-c"]

python := ".venv/bin/python"

[private]
default:
    @just --list --unsorted

# Serve on http://localhost:3000, with a small local model unless models.toml names others
serve *flags: (_install "serve")
    .venv/bin/dabir serve {{flags}}

# Everything that tests and checks need: Python packages, Node packages
setup: (_install "dev")
    cd tests/clients && { cmp -s package-lock.json node_modules/.installed-lock || { npm ci --silent && cp package-lock.json node_modules/.installed-lock; }; }

# Run the tests (arguments go to pytest)
test *args: setup
    {{python}} -m pytest -n 4 --dist worksteal {{args}}

# Format, lint, types and layers
check: setup
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy
    .venv/bin/lint-imports

# Format and mend what can be mended by machine
fmt: setup
    .venv/bin/ruff format .
    .venv/bin/ruff check --fix .

# Run a benchmark, or list them
bench name="" *args: (_install "dev")
    {{ if name == "" { "ls benchmarks/*.py" } else { python + " -m benchmarks." + name + " " + args } }}

# Resolve the versions anew and pin them with hashes
lock *args:
    uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --extra local --group build {{args}} -o requirements/serve.txt
    uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --all-extras --group dev --constraint requirements/serve.txt {{args}} -o requirements/dev.txt

# Hashes are required; the project itself is linked, not copied.
[private]
_install which:
    test -x {{python}} || uv venv --quiet --python '>=3.11' .venv
    uv pip install --quiet --python {{python}} --require-hashes -r requirements/{{which}}.txt
    test -x .venv/bin/dabir || uv pip install --quiet --python {{python}} --no-deps --no-build-isolation -e .
