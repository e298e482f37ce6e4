"""How Alembic runs the migrations: on the connection it is given, in the transaction that is open.

It is run by `upgrading.upgrade`, never by Alembic's own command line.
"""

from alembic import context

from infrastructure.event_store.migrations.at_start import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
