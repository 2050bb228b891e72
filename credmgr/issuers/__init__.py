"""The built-in issuers, one module each."""
