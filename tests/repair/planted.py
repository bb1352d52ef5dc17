"""A right backward and one that is wrong in one place, for each kind of edit; and what the repair must say.

Each row: the forward; the right backward; the line of it that is wrong, and how.
"""

LAYER_NORM = (
    """
def forward(x, gamma, beta):
    mu = x.mean(-1, keepdim=True)
    var = ((x - mu) ** 2).mean(-1, keepdim=True)
    istd = 1 / torch.sqrt(var + 1e-5)
    xhat = (x - mu) * istd
    return gamma * xhat + beta, (xhat, istd, gamma)
""",
    """
def backward(dout, cache):
    xhat, istd, gamma = cache
    g = dout * gamma
    dx = istd * (g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True))
    return dx, (dout * xhat).sum(0), dout.sum(0)
""",
    "4x6,6,6",
)
MATMUL = (
    """
def forward(a, b):
    return a @ b, (a, b)
""",
    """
def backward(dout, cache):
    a, b = cache
    return dout @ b.T, a.T @ dout
""",
    "4x3,3x5",
)
CONV = (
    """
def forward(x, w, pad=0):
    xp = torch.nn.functional.pad(x, (pad, pad))
    K = w.shape[2]
    out = torch.zeros(x.shape[0], w.shape[0], xp.shape[2] - K + 1, dtype=x.dtype)
    for i in range(out.shape[2]):
        out[:, :, i] = torch.einsum("nck,ock->no", xp[:, :, i:i + K], w)
    return out, (xp, w, pad)
""",
    """
def backward(dout, cache):
    xp, w, pad = cache
    K = w.shape[2]
    dxp, dw = torch.zeros_like(xp), torch.zeros_like(w)
    for i in range(dout.shape[2]):
        dxp[:, :, i:i + K] += torch.einsum("no,ock->nck", dout[:, :, i], w)
        dw += torch.einsum("no,nck->ock", dout[:, :, i], xp[:, :, i:i + K])
    return dxp[:, :, pad:dxp.shape[2] - pad], dw
""",
    "2x3x7,4x3x3",
)
CROSS_ENTROPY = (
    """
LABELS = torch.tensor([0, 2, 1, 2, 0])


def forward(x):
    p = softmax(x)
    return -torch.log(p[range(len(LABELS)), LABELS]).mean(), p


def softmax(x):
    e = torch.exp(x - x.max(1, keepdim=True).values)
    return e / e.sum(1, keepdim=True)
""",
    """
def backward(dloss, p):
    d = p.clone()
    d[range(len(LABELS)), LABELS] -= 1
    return d / len(LABELS) * dloss
""",
    "5x3",
)
SWISH = (
    """
def forward(x):
    s = torch.sigmoid(x)
    return x * s, (x, s)
""",
    """
def backward(dout, cache):
    x, s = cache
    return dout * slope(x, s)


def slope(x, s):
    return s + x * s * (1 - s)
""",
    "4x5",
)
CLIPPED = (
    """
def forward(x, floor=0.2):
    return torch.where(x > floor, x, floor + 0.5 * (x - floor)), (x, floor)
""",
    """
def backward(dout, cache):
    x, floor = cache
    return torch.where(x > floor, dout, 0.5 * dout)
""",
    "4x5",
)

# What is right, what the learner wrote instead, the kind of edit that repairs it.
PLANTED = [
    ("sign", LAYER_NORM, "keepdim=True) - xhat", "keepdim=True) + xhat"),
    ("dropped", LAYER_NORM, "g = dout * gamma", "g = dout * gamma * istd"),
    ("doubled", LAYER_NORM, "dx = istd", "dx = 2 * istd"),
    ("factor", LAYER_NORM, "g = dout * gamma", "g = dout"),
    ("summand", SWISH, "s + x * s * (1 - s)", "x * s * (1 - s)"),
    ("axis", LAYER_NORM, "g - g.mean(-1, ", "g - g.mean(0, "),
    ("keepdim", LAYER_NORM, "dout.sum(0)", "dout.sum(0, keepdim=True)"),
    ("reduction", LAYER_NORM, "(dout * xhat).sum(0)", "(dout * xhat).mean(0)"),
    ("name", LAYER_NORM, "(dout * xhat).sum(0)", "(g * xhat).sum(0)"),
    ("order of what is returned", LAYER_NORM, "return dx, (dout * xhat).sum(0), dout.sum(0)",
     "return dx, dout.sum(0), (dout * xhat).sum(0)"),
    ("transpose", MATMUL, "dout @ b.T", "dout @ b"),
    ("order of operands", MATMUL, "a.T @ dout", "dout @ a.T"),
    ("transposed result", MATMUL, "a.T @ dout", "dout.T @ a"),
    ("accumulate", CONV, "dxp[:, :, i:i + K] += ", "dxp[:, :, i:i + K] = "),
    ("negative stop", CONV, "pad:dxp.shape[2] - pad", "pad:-pad"),
    ("range", CONV, "for i in range(dout.shape[2])", "for i in range(dout.shape[2] - 1)"),
    ("slice", CONV, "xp[:, :, i:i + K])\n", "xp[:, :, i + 1:i + K])\n"),
    ("size", CROSS_ENTROPY, "d / len(LABELS) * dloss", "d * dloss"),
    ("other size", CROSS_ENTROPY, "d / len(LABELS) * dloss", "d / p.numel() * dloss"),
    ("dloss", CROSS_ENTROPY, "d / len(LABELS) * dloss", "d / len(LABELS)"),
    ("rows", CROSS_ENTROPY, "d[range(len(LABELS)), LABELS]", "d[:, LABELS]"),
    ("in place", CROSS_ENTROPY, "d = p.clone()", "d = p"),
    ("helper", SWISH, "(1 - s)", "(1 + s)"),
    ("power", SWISH, "(1 - s)", "(1 - s) ** 2"),
    ("brackets", SWISH, "x * s * (1 - s)", "x * s * 1 - s"),
    ("call", SWISH, "x, s = cache", "x, s = cache\n    s = torch.log(s)"),
    ("comparison", CLIPPED, "x > floor, dout", "x < floor, dout"),
    ("constant", CLIPPED, "0.5 * dout", "0.25 * dout"),
    ("order of arguments", CLIPPED, "dout, 0.5 * dout)", "0.5 * dout, dout)"),
]  # fmt: skip
