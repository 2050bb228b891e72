"""The HTTP API: tokens, secrets and what is known of them, for consumers and operators."""
