"""The README as a small static site: `python -m tests.site` makes it."""
