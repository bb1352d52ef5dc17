"""What is wrong with a gradient, in words: the mistakes that give the numbers which were got."""

from tinytorch_course.diagnosis.engine import Finding, diagnose

__all__ = ["Finding", "diagnose"]
