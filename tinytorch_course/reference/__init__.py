"""The twin: the same names as in ``scratch``, each a thin wrapper of torch.nn or torch.optim."""
