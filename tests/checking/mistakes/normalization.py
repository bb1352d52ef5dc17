"""Mistakes in batch norm."""

from checking.mistakes.mistake import backward, injected

from tinytorch_course.lockstep.wrong import batch_norm_dx, changed

MISTAKES = [
    injected("batch_norm_forward: biased running variance", "running-variance-biased", "n-for-n-1"),
    injected("batch_norm_forward: momentum the other way round", "running-momentum-swapped", "momentum-swapped"),
    injected("batch_norm_forward: eps outside the root", "batch-norm-eps-outside", "eps-misplaced"),
    injected("batch_norm_forward: batch statistics in evaluation", "batch-norm-batch-in-evaluation", "mode-mixed-up"),
    injected("batch_norm_forward: n - 1 for n", "batch-norm-n-1", "n-1-for-n"),
    injected(
        "batch_norm_backward: the variance taken as constant", "batch-norm-variance-constant", "mean-terms-dropped"
    ),
    injected("batch_norm_backward: the mean taken as constant", "batch-norm-mean-constant", "mean-terms-dropped"),
    injected("batch_norm_backward: pixels not counted", "batch-norm-count", "pixels-not-counted"),
    backward(
        "batch_norm", "evaluation differentiated as training", "mode-mixed-up", changed(0, batch_norm_dx(always=True))
    ),
    backward(
        "batch_norm",
        "dweight from x",
        "input-for-normalised",
        changed(1, lambda dweight, dout, call: (dout * call.x).transpose(0, 1).flatten(1).sum(dim=1)),
    ),
    backward(
        "batch_norm_long", "the mean's path forgotten", "mean-terms-dropped", changed(0, batch_norm_dx(mean_term=0))
    ),
    backward("batch_norm_long", "the root's factor 1/2", "root-factor", changed(0, batch_norm_dx(variance_term=2))),
]
