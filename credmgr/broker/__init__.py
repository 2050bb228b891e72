"""Access tokens: minted once, shared by all who may have them, renewed ahead, never stale."""
