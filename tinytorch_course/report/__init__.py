"""What a person keeps of a run: pictures, and the folder that they lie in."""
