"""Any picture of a digit or letter, brought to the form that a network was trained on."""
