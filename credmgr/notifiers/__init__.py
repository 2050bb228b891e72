"""The built-in channels for alerts, one file each."""
