"""Reading who the log's internal ids stand for, without an event loop."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, select, tuple_

from application.ledger.ports import KnownPrincipal
from application.ports import Principal
from domain.usage import Kind
from infrastructure.event_store.encryption import SEALED_NAME, NamesLocked, PlainNames
from infrastructure.event_store.schema import principals
from infrastructure.event_store.stored import BATCH

_columns = [principals.c[name] for name in KnownPrincipal.__struct_fields__]
_ORDER = (principals.c.created_at, principals.c.id)


class StoredPeople:
    """Implements `application.ledger.ports.People`; remembers whom it was asked for."""

    def __init__(self, reading: Engine, names: PlainNames) -> None:
        self._reading = reading
        self._names = names
        self._by_id: dict[UUID, Principal | None] = {}

    def find(self, kind: Kind, name: str) -> Principal | None:
        """Raises NamesLocked."""
        spellings = self._names.spellings(kind, name)
        found = self._read((principals.c.kind == kind) & principals.c.name.in_(spellings))
        if found is None:
            self._require_names()
        return found

    def name_of(self, principal_id: UUID) -> Principal | None:
        if principal_id not in self._by_id:
            try:
                known = self._read(principals.c.id == principal_id)
            except NamesLocked:
                known = None
            self._by_id[principal_id] = known
        return self._by_id[principal_id]

    def all(self) -> Iterator[KnownPrincipal]:
        """Raises NamesLocked."""
        page = query = select(*_columns).order_by(*_ORDER).limit(BATCH)
        while True:
            with self._reading.begin() as connection:
                rows = connection.execute(page).all()
            for row in rows:
                name = self._names.name_of(row.kind, row.name)
                yield KnownPrincipal(row.id, row.kind, name, row.created_at)
            if len(rows) < BATCH:
                return
            page = query.where(tuple_(*_ORDER) > (rows[-1].created_at, rows[-1].id))

    def _require_names(self) -> None:
        """Where names are locked, not even that nobody is called so can be told."""
        sealed = principals.c.name.startswith(SEALED_NAME)
        with self._reading.begin() as connection:
            row = connection.execute(select(*_columns).where(sealed).limit(1)).one_or_none()
        if row is not None:
            self._names.name_of(row.kind, row.name)

    def _read(self, condition: ColumnElement[bool]) -> Principal | None:
        with self._reading.begin() as connection:
            row = connection.execute(select(*_columns).where(condition)).one_or_none()
        if row is None:
            return None
        return Principal(row.id, row.kind, self._names.name_of(row.kind, row.name))
