"""Proof: the gradient checker, the tables of cases, and the planted mistakes that the checks must reject."""

from tinytorch_course.verify.gradients import GradientCheck, check_gradient

__all__ = ["GradientCheck", "check_gradient"]
