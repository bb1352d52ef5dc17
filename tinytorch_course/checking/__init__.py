"""Proof: the gradient checker, the cases of every op, and the suite that runs them. It knows no diagnosis."""
