"""One table of cases for each file of ``tinytorch_course/scratch``."""
