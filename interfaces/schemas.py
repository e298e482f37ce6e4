"""JSON schemas of what goes over the wire, out of the Structs that decode and encode it."""

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

import msgspec

Schema = dict[str, Any]


class Schemas:
    """The schemas of some Structs, and of all that is within them, as both documents hold them."""

    def __init__(self, kinds: Iterable[type]) -> None:
        known = list(dict.fromkeys(kinds))
        references, components = msgspec.json.schema_components(
            known, ref_template="#/components/schemas/{name}"
        )
        self._of = dict(zip(known, references, strict=True))
        self.components: dict[str, Schema] = components
        for schema in components.values():
            if "description" in schema:
                schema["description"] = cleandoc(schema["description"])

    def of(self, *kinds: type) -> Schema:
        """A reference to the schema of one; of several, that it is any of them."""
        if len(kinds) == 1:
            return self._of[kinds[0]]
        return {"anyOf": [self._of[kind] for kind in kinds]}

    def of_events(self, events: Mapping[str, Sequence[type]]) -> Schema:
        """What a stream of these events is: a list of them, each as a client reads it."""
        items = [
            {
                "title": name,
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "event": {"const": name},
                    "data": self.of(*kinds),
                },
                "required": ["event", "data"],
            }
            for name, kinds in events.items()
        ]
        return {"type": "array", "items": {"anyOf": items}}
