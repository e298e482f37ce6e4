# Every task of the project. `just` alone lists them.
set shell := ["bash", "-euo", "pipefail", "-c"]

python := ".venv/bin/python"

[private]
default:
    @just --list --unsorted

# Serve on http://localhost:3000, with a small local model unless models.toml names others
serve *flags: (_install "serve")
    .venv/bin/dabir serve {{flags}}

# Everything that tests and checks need: Python packages, Node packages, Chromium and nginx
setup: (_install "dev") (_programs "chromium" "nginx") (_node "clients/js") (_node "tests/clients")

# Run the tests (arguments go to pytest): all together, then alone those that measure time
test *args: setup
    {{python}} -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not alone" {{args}} || [ $? -eq 5 ]
    {{python}} -m pytest -m alone {{args}} || [ $? -eq 5 ]

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
    {{ if name == "" { "grep -l __main__ benchmarks/*.py" } else { python + " -m benchmarks." + name + " " + args } }}

# Seeded faults for as long as you like: `just soak --runs 5000`, `just soak --seed 7 --runs 1`
soak *args: (_install "dev")
    {{python}} -m tests.faults.soak {{args}}

# Take the pictures of the README anew, into docs/images
shots: setup
    {{python}} -m tests.browser.shots

# Resolve the versions anew and pin them with hashes
lock *args:
    uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --extra local --extra postgres --extra valkey --group build {{args}} -o requirements/serve.txt
    uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --all-extras --group dev --constraint requirements/serve.txt {{args}} -o requirements/dev.txt
    uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --extra postgres --extra valkey --extra otel --group build --constraint requirements/dev.txt {{args}} -o requirements/nodes.txt

# Hashes are required; the project itself is linked, not copied.
[private]
_install which:
    test -x {{python}} || uv venv --quiet --python '>=3.11' .venv
    uv pip install --quiet --compile-bytecode --python {{python}} --require-hashes -r requirements/{{which}}.txt
    test -x .venv/bin/dabir || uv pip install --quiet --python {{python}} --no-deps --no-build-isolation -e .

[private]
_node folder:
    cd {{folder}} && { cmp -s package-lock.json node_modules/.installed-lock || { npm ci --silent && cp package-lock.json node_modules/.installed-lock; }; }

# Debian keeps nginx in /usr/sbin, which is not on everyone's path.
[private]
_programs +names:
    #!/usr/bin/env bash
    set -euo pipefail
    PATH="$PATH:/usr/sbin"
    missing=()
    for name in {{names}}; do command -v "$name" >/dev/null || missing+=("$name"); done
    [ ${#missing[@]} -gt 0 ] || exit 0
    if ! command -v apt-get >/dev/null; then
        echo "The tests need ${missing[*]}: install them, so that they are on the path." >&2
        exit 1
    fi
    as_root=(env DEBIAN_FRONTEND=noninteractive)
    [ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
