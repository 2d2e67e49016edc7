"""Alembic calls this; `lifeloop.store.migrate` hands it an open connection."""

from alembic import context

from lifeloop.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
