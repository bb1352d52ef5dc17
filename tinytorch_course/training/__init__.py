"""Training: one loop for both implementations, and what it keeps."""
