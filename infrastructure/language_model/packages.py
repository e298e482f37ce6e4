"""Files inside installed packages that are too heavy to import for them."""

from importlib.util import find_spec
from pathlib import Path


def package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it; None if it is not installed."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
