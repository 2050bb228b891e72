"""Secrets where they should not be: in files, git history, archives and images."""
