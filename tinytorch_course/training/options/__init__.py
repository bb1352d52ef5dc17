"""Options of training, one command-line flag a file."""
