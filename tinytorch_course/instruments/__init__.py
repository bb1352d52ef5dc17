"""What measures, and what disturbs to measure: it knows nothing of what is proved with it."""
