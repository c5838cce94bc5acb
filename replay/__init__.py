"""Recorded or generated sessions, played through the same cores in one process or through the real processes."""
