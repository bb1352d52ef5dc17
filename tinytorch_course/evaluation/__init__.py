"""What a trained network is worth: scores on labelled images, and how they are shown."""
