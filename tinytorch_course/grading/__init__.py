"""A learner's own code, checked in a process of its own."""
