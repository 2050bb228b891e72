# What credmgr needs in HashiCorp Vault or OpenBao, and nothing more (docs/backends/vault.md).
# `secret` is the backend's option `mount`, `credmgr` its option `prefix`.
# Tested: the whole backend contract runs with exactly this policy and without `default`.

# Entries: read them, write new versions by compare-and-set. No `delete`: a version is destroyed.
path "secret/data/credmgr/*" {
  capabilities = ["create", "read", "update"]
}

# The mark on an entry, and the removal of an entry as a whole; no `list`. With `read`, a copy that
# nobody touched is known by its metadata alone; without it, its value is read each time.
path "secret/metadata/credmgr/*" {
  capabilities = ["delete", "read", "update"]
}

# Values of discarded versions.
path "secret/destroy/credmgr/*" {
  capabilities = ["update"]
}

# Its own token: whether it lives, a longer life, its end.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# Optional: lets `credmgr doctor` ask what its token may do, so that it also finds what is too much,
# and needs no probe to find what is missing.
# path "sys/capabilities-self" {
#   capabilities = ["update"]
# }
