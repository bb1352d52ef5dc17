"""Is everything here that tinytorch needs, and does it work? One finding a line, with what to do about it."""
