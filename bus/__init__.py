"""The message bus, and the runtime every service stands on. Knows no service."""
