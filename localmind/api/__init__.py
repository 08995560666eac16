"""The HTTP API: who may ask, and one file a dialect over the same requests and events."""
