"""The four interfaces that a plugin implements, and how plugins are found."""
