"""One module per event type and major version; the class is named after the type."""
