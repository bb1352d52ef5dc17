"""What is wrong with a gradient, in words a learner can act on."""

from tinytorch_course.verify.diagnosis.engine import Finding, diagnose

__all__ = ["Finding", "diagnose"]
