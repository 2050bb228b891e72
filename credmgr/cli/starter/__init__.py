"""The manifests that `init` and `demo` start an installation with."""
