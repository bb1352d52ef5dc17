"""Both implementations side by side, step by step: how far apart they are, and who made the difference."""
