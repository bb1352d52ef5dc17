"""What pyproject.toml cannot say: where the examples go, and a README whose links work on a package index."""

import re
from pathlib import Path

from setuptools import find_packages, setup

REPOSITORY = "https://github.com/tinytorch-course/tinytorch-course"


def absolute(match: re.Match[str]) -> str:
    """A link to a file of the repository as an address; a picture's to the picture itself."""
    picture, text, target = match.groups()
    if "://" in target or target.startswith("#"):
        return match.group()
    return f"{picture}[{text}]({REPOSITORY}/{'raw' if picture else 'blob'}/main/{target})"


readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
setup(
    packages=[*find_packages(include=["tinytorch_course*"]), "tinytorch_course.examples"],
    package_dir={"tinytorch_course.examples": "examples"},  # people read them in their folder
    long_description=re.sub(r"(!?)\[([^\]]*)\]\(([^)]+)\)", absolute, readme),
    long_description_content_type="text/markdown",
)
