"""How fast the from-scratch layer is beside torch: both timed alternately in one process."""
