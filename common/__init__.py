"""What the steps share: plumbing that is nobody's lesson, and what an earlier step has already shown."""
