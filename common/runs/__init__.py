"""The runs of an acquisition: recorded safely, read anywhere, served to pages."""
