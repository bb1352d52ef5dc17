"""A trained network as a file that other programs run, checked against the from-scratch forward before it is kept."""
