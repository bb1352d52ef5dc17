"""The errors a person is meant to read: one sentence naming the value, what was expected and what to do."""


class InputError(Exception):
    """Something the user gave cannot be used. The command line prints the sentence and exits with code 2."""
