"""The smallest edit that makes a learner's own code right, found by search."""

from tinytorch_course.repair.answer import BUDGET, HINTS, OneEdit, Repair, find_repair
from tinytorch_course.repair.search import Subject

__all__ = ["BUDGET", "HINTS", "OneEdit", "Repair", "Subject", "find_repair"]
