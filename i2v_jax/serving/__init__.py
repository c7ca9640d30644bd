"""A trained model behind HTTP: an engine that owns the device, an API for programs, and a page for people."""
