"""A real sensor: its driver, and the text that it sends."""
