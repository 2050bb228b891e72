"""Alembic's scripts; run by `credmgr.store.schema`, never by the user."""
