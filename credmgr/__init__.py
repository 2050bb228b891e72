"""credmgr owns the life of every machine credential: storing, rotating, distributing, auditing."""

__version__ = "0.1.0"
