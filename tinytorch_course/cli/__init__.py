"""The ``tinytorch`` command: one file per command, each of which only passes on what was typed."""
