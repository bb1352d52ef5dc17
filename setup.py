"""Ship examples/*.py inside the package, while people read them in their folder. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tinytorch_course*"]), "tinytorch_course.examples"],
    package_dir={"tinytorch_course.examples": "examples"},
)
