"""Browser tests, one module a step."""
