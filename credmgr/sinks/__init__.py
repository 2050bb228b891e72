"""Built-in sinks; each loads by its entry point as a third party's would."""
