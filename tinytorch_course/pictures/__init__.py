"""Any picture of a digit or letter, brought to the form that a network was trained on."""

FORM_NAMES = ("mnist", "things", "plain")  # what `predict --form` takes; here, for prediction.py needs torch
