"""Mistakes in layer norm and group norm: of each sample's own statistics."""

from checking.mistakes.mistake import backward, both, consistent

from tinytorch_course.lockstep.wrong import changed


def last_axes(call, tensor):
    """Layer norm's samples as rows."""
    return tensor.flatten(-len(call.normalized_shape))


def weighted(call, tensor):
    """A tensor of x's shape, times what the weight is for each of its values."""
    return tensor if call.weight is None else tensor * call.weight


def standardised(call, rows_of, divide_by=0, eps_outside=False):
    rows = rows_of(call, call.x)
    centred = rows - rows.mean(-1, keepdim=True)
    var = (centred**2).sum(-1, keepdim=True) / (rows.shape[-1] - divide_by)
    return centred / (var.sqrt() + call.eps if eps_outside else (var + call.eps).sqrt())


def normalised(rows_of, weigh, shift, **wrong):
    """A wrong formula, with the backward that belongs to it."""

    def formula(call):
        out = weigh(call, standardised(call, rows_of, **wrong).reshape(call.x.shape))
        return shift(call, out)

    return consistent(formula, "x", "weight", "bias")


def dx(rows_of, weigh, mean_term=1, variance_term=1):
    """dx with the two ways through the sample's statistics weighed otherwise."""

    def wrong(right, dout, call):
        if call.x.numel() == 0:
            return right
        rows, dx_hat = rows_of(call, call.x), rows_of(call, weigh(call, dout))
        std = (rows.var(-1, keepdim=True, correction=0) + call.eps).sqrt()
        x_hat = (rows - rows.mean(-1, keepdim=True)) / std
        along_mean = dx_hat.mean(-1, keepdim=True)
        along_x_hat = x_hat * (dx_hat * x_hat).mean(-1, keepdim=True)
        return ((dx_hat - mean_term * along_mean - variance_term * along_x_hat) / std).reshape(call.x.shape)

    return changed(0, wrong)


def shifted(call, out):
    return out if call.bias is None else out + call.bias


def groups(call, tensor):
    """Group norm's groups as rows."""
    return tensor.reshape(len(tensor), call.num_groups, -1)


def per_channel(values, x):
    return values.view(-1, *[1] * (x.dim() - 2))


def weighted_channels(call, tensor):
    return tensor if call.weight is None else tensor * per_channel(call.weight, call.x)


def shifted_channels(call, out):
    return out if call.bias is None else out + per_channel(call.bias, call.x)


def mistakes_of(op, rows_of, weigh, shift, dweight_from_x):
    return [
        backward(op, "the statistics taken as constants", "mean-terms-dropped", dx(rows_of, weigh, 0, 0)),
        backward(op, "the variance taken as constant", "mean-terms-dropped", dx(rows_of, weigh, variance_term=0)),
        backward(op, "the mean taken as constant", "mean-terms-dropped", dx(rows_of, weigh, mean_term=0)),
        backward(op, "the root's factor 1/2", "root-factor", dx(rows_of, weigh, variance_term=2)),
        backward(op, "dweight from x", "input-for-normalised", changed(1, dweight_from_x)),
        both(f"{op}: eps outside the root", op, "eps-misplaced", *normalised(rows_of, weigh, shift, eps_outside=True)),
        both(f"{op}: n - 1 for n", op, "n-1-for-n", *normalised(rows_of, weigh, shift, divide_by=1)),
    ]


MISTAKES = [
    *mistakes_of(
        "layer_norm",
        last_axes,
        weighted,
        shifted,
        lambda dweight, dout, call: (dout * call.x).sum_to_size(dweight.shape),
    ),
    both(
        "layer_norm: the statistics of the batch",
        "layer_norm",
        "wrong-axis",
        *consistent(
            lambda call: shifted(
                call,
                weighted(call, (call.x - call.x.mean(0)) / (call.x.var(0, correction=0) + call.eps).sqrt()),
            ),
            "x",
            "weight",
            "bias",
        ),
    ),
    *mistakes_of(
        "group_norm",
        groups,
        weighted_channels,
        shifted_channels,
        lambda dweight, dout, call: (dout * call.x).transpose(0, 1).flatten(1).sum(1),
    ),
    *(
        both(
            f"group_norm: {what}",
            "group_norm",
            "wrong-groups",
            *normalised(rows_of, weighted_channels, shifted_channels),
        )
        for what, rows_of in {
            "the whole sample in one group": lambda call, tensor: tensor.flatten(1),
            "each channel by itself": lambda call, tensor: tensor.reshape(*call.x.shape[:2], -1),
        }.items()
    ),
]
