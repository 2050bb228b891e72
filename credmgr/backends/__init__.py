"""The built-in stores of secrets, one file or folder each."""
