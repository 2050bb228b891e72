"""One migration per schema, frozen once released."""
