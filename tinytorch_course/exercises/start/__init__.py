"""The starting file of each exercise: forwards that are given, backwards that are to be written."""
