"""A right answer to every exercise, as what takes the place of its ``raise NotImplementedError``, and wrong ones.

Not in the package: whoever installs it does not find the answers beside the exercises.
"""

import re
import textwrap
from typing import NamedTuple

from tinytorch_course.exercises import Task, find_exercise

ANSWERS = {
    "02": {
        "cube_backward": """
            x = cache
            return dout * 3 * x * x
        """,
        "product_backward": """
            x, y = cache
            return dout * y, dout * x
        """,
        "swish_backward": """
            x, s = cache
            return dout * (s + x * s * (1 - s))
        """,
    },
    "04": {
        "linear_backward": """
            x, weight = cache
            return dout @ weight, dout.T @ x, dout.sum(dim=0)
        """,
        "mse_loss_backward": """
            diff = cache
            dinput = dloss * 2 * diff / diff.numel()
            return dinput, -dinput
        """,
    },
    "05": {
        "SGD.step": """
            for p in self.params:
                p -= self.lr * (p.grad + self.weight_decay * p)
        """,
    },
    "06": {
        "binary_cross_entropy_with_logits_backward": """
            z, y = cache
            p = 1 / (1 + torch.exp(-z))
            return dloss * (p - y) / z.numel(), -dloss * z / z.numel()
        """,
    },
    "07": {
        "softmax_backward": """
            out, dim = cache
            return out * (dout - (dout * out).sum(dim=dim, keepdim=True))
        """,
        "cross_entropy_backward": """
            logp, target = cache
            dinput = logp.exp()
            dinput[torch.arange(len(target)), target] -= 1
            return dloss * dinput / len(target)
        """,
    },
    "08": {
        "sigmoid_backward": """
            out = cache
            return dout * out * (1 - out)
        """,
        "tanh_backward": """
            out = cache
            return dout * (1 - out**2)
        """,
        "relu_backward": """
            x = cache
            return dout * (x > 0)
        """,
    },
    "09": {
        "batch_norm_backward": """
            xhat, std, weight, axes, shape = cache
            dweight, dbias = (dout * xhat).sum(dim=axes), dout.sum(dim=axes)
            dxhat = dout * weight.reshape(shape)
            mean = dxhat.mean(dim=axes, keepdim=True)
            projection = (dxhat * xhat).mean(dim=axes, keepdim=True)
            return (dxhat - mean - xhat * projection) / std, dweight, dbias
        """,
        "dropout_backward": """
            scale = cache
            return dout.clone() if scale is None else dout * scale
        """,
    },
    "10": {
        "SGD.step": """
            for p, velocity in zip(self.params, self.velocities):
                velocity *= self.momentum
                velocity += p.grad
                p -= self.lr * velocity
        """,
        "Adam.step": """
            self.t += 1
            beta1, beta2 = self.betas
            for i, p in enumerate(self.params):
                self.m[i] = beta1 * self.m[i] + (1 - beta1) * p.grad
                self.v[i] = beta2 * self.v[i] + (1 - beta2) * p.grad**2
                m_hat = self.m[i] / (1 - beta1**self.t)
                v_hat = self.v[i] / (1 - beta2**self.t)
                p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)
        """,
    },
    "11": {
        "mlp_backward": """
            x, hidden, weight1, weight2 = cache
            dweight2, dbias2 = dout.T @ hidden, dout.sum(dim=0)
            dhidden = dout @ weight2
            dsum = dhidden * (hidden > 0)
            return dsum @ weight1, dsum.T @ x, dsum.sum(dim=0), dweight2, dbias2
        """,
    },
    "13": {
        "conv2d_backward": """
            shape, padded, weight, stride, padding = cache
            rows, columns = weight.shape[2:]
            dpadded, dweight = torch.zeros_like(padded), torch.zeros_like(weight)
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    top, left = i * stride, j * stride
                    window = padded[:, :, top : top + rows, left : left + columns]
                    share = dout[:, :, i, j]
                    dweight += torch.einsum("no,nckl->ockl", share, window)
                    dwindow = torch.einsum("no,ockl->nckl", share, weight)
                    dpadded[:, :, top : top + rows, left : left + columns] += dwindow
            dx = dpadded[:, :, padding : padding + shape[2], padding : padding + shape[3]]
            return dx, dweight, dout.sum(dim=(0, 2, 3))
        """,
        "max_pool2d_backward": """
            shape, winner, kernel_size, stride = cache
            dx = dout.new_zeros(shape)
            sample, channel = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    row = i * stride + winner[:, :, i, j] // kernel_size
                    column = j * stride + winner[:, :, i, j] % kernel_size
                    dx[sample, channel, row, column] += dout[:, :, i, j]
            return dx
        """,
    },
    "14": {
        "avg_pool2d_backward": """
            shape, kernel_size, stride = cache
            dx = dout.new_zeros(shape)
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    top, left = i * stride, j * stride
                    share = dout[:, :, i : i + 1, j : j + 1] / kernel_size**2
                    dx[:, :, top : top + kernel_size, left : left + kernel_size] += share
            return dx
        """,
        "flatten_backward": """
            shape = cache
            return dout.reshape(shape)
        """,
    },
    "15": {
        "residual_block_backward": """
            x, hidden, out, weight1, weight2 = cache
            dsum = dout * (out > 0)
            dweight2 = dsum.T @ hidden
            dhidden = (dsum @ weight2) * (hidden > 0)
            dweight1 = dhidden.T @ x
            return dhidden @ weight1 + dsum, dweight1, dweight2
        """,
    },
    "16": {
        "cross_entropy_backward": """
            logp, wanted = cache
            return dloss * (logp.exp() - wanted) / len(logp)
        """,
    },
    "17": {
        "AdamW.step": """
            self.t += 1
            beta1, beta2 = self.betas
            for i, p in enumerate(self.params):
                p -= self.lr * self.weight_decay * p
                self.m[i] = beta1 * self.m[i] + (1 - beta1) * p.grad
                self.v[i] = beta2 * self.v[i] + (1 - beta2) * p.grad**2
                m_hat = self.m[i] / (1 - beta1**self.t)
                v_hat = self.v[i] / (1 - beta2**self.t)
                p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)
        """,
    },
    "18": {
        "log_softmax_backward": """
            out, dim = cache
            return dout - out.exp() * dout.sum(dim=dim, keepdim=True)
        """,
    },
}


class Wrong(NamedTuple):
    """A typical wrong answer: the right one with a piece replaced."""

    number: str
    right: str
    wrong: str
    hint: str = (
        ""  # a pattern of what the learner must be told; none: what is sure of the numbers; --hint 2 finds the line
    )

    def __str__(self) -> str:
        return f"{self.number}: {' '.join(self.wrong.split()) or 'without ' + self.right}"


WRONG = [
    Wrong("02", "dout * 3 * x * x", "dout * x * x", "the slope of x³ is 3 x²"),
    Wrong("02", "dout * 3 * x * x", "3 * x * x", "dout is not used"),
    Wrong("02", "dout * y, dout * x", "dout * x, dout * y", "it is what dy should be"),
    Wrong("02", "dout * y, dout * x", "dout * y", "there are 2 to return: dx, dy"),
    Wrong("02", "s + x * s * (1 - s)", "s * (1 - s)", "product rule"),
    Wrong("04", "dout.T @ x", "x.T @ dout"),
    Wrong("04", "dout.sum(dim=0)", "dout"),
    Wrong("04", "dout.T @ x", "dout.T @ x / len(x)", "divided by N, the size of the batch, and should not be"),
    Wrong("04", "dloss * 2 * diff", "dloss * diff", "a factor of 2 is missing"),
    Wrong("04", " / diff.numel()", ""),
    Wrong("05", "p -= self.lr", "p += self.lr"),
    Wrong("05", "self.lr * (p.grad", "(p.grad"),
    Wrong("05", " + self.weight_decay * p)", ")"),
    Wrong(
        "05",
        "self.lr * (p.grad + self.weight_decay * p)",
        "self.lr * p.grad + self.weight_decay * p",
    ),
    Wrong("05", "p -= self.lr * (p.grad", "p.grad.zero_(); p -= self.lr * (p.grad"),
    Wrong("06", "(p - y)", "(p - y) * p * (1 - p)"),
    Wrong("06", "(p - y)", "(y - p)", "the sign is flipped"),
    Wrong("06", "(p - y) / z.numel()", "(p - y)"),
    Wrong("06", "dloss * (p - y)", "(p - y)"),
    Wrong("06", "(p - y)", "(z - y)", "p = sigmoid"),
    Wrong(
        "07",
        "out * (dout - (dout * out).sum(dim=dim, keepdim=True))",
        "out * (1 - out) * dout",
    ),
    Wrong("07", "(dout * out).sum(dim=dim, keepdim=True)", "(dout * out).sum()"),
    Wrong("07", "dinput[torch.arange(len(target)), target] -= 1", "pass"),
    Wrong("07", "dinput / len(target)", "dinput"),
    Wrong("07", "dinput = logp.exp()", "dinput = logp.clone()"),
    Wrong("08", "dout * out * (1 - out)", "dout * out"),
    Wrong("08", "dout * out * (1 - out)", "out * (1 - out)", "dout is not used"),
    Wrong("08", "dout * (1 - out**2)", "dout * (1 - out)"),
    Wrong("08", "dout * (x > 0)", "dout * (dout > 0)"),
    Wrong("08", "dout * (x > 0)", "dout * (x >= 0)", "a kink"),
    Wrong("09", "(dxhat - mean - xhat * projection)", "dxhat"),
    Wrong("09", "dxhat - mean - xhat * projection", "dxhat - mean"),
    Wrong("09", "(dout * xhat).sum(dim=axes)", "(dout * xhat).mean(dim=axes)", "a mean stands where a sum belongs"),
    Wrong("09", "dxhat = dout * weight.reshape(shape)", "dxhat = dout", "weight is not used"),
    Wrong("09", "else dout * scale", "else dout * (scale != 0)"),
    Wrong("10", "velocity += p.grad", "velocity += (1 - self.momentum) * p.grad"),
    Wrong("10", "p -= self.lr * velocity", "p -= self.lr * p.grad"),
    Wrong("10", " / (1 - beta1**self.t)", ""),
    Wrong("10", "self.t += 1", "pass", "0 / 0"),
    Wrong("10", "(v_hat.sqrt() + self.eps)", "(v_hat + self.eps).sqrt()"),
    Wrong("11", " * (hidden > 0)", "", "only where hidden is above 0"),
    Wrong("11", "dsum.T @ x", "x.T @ dsum"),
    Wrong("11", "dsum @ weight1", "dhidden @ weight1", "it is what reaches the sum"),
    Wrong("11", "dbias2 = dout.T @ hidden, dout.sum(dim=0)", "dbias2 = dout.T @ hidden, dout"),
    Wrong("11", "dweight2, dbias2\n", "dbias2, dweight2\n", "another order|multiplied as in exercise 04"),
    Wrong("13", "dweight += ", "dweight = "),
    Wrong("13", "share, weight)", "share, weight.flip(2, 3))", "turned by 180 degrees"),
    Wrong("13", "left : left + columns] += ", "left : left + columns] = "),
    Wrong("13", "dout.sum(dim=(0, 2, 3))", "dout.sum(dim=0)"),
    Wrong("13", "row, column] += ", "row, column] = "),
    Wrong("14", " / kernel_size**2", ""),
    Wrong("14", " / kernel_size**2", " / kernel_size"),
    Wrong("14", "left : left + kernel_size] += share", "left : left + kernel_size] = share"),
    Wrong("14", "dout.reshape(shape)", "dout"),
    Wrong("14", "i * stride, j * stride", "i, j", "the stride is ignored"),
    Wrong(
        "15", " + dsum, dweight1", ", dweight1", "add what comes back through the layers and what comes back past them"
    ),
    Wrong("15", "dsum = dout * (out > 0)", "dsum = dout", "out is a max too"),
    Wrong("15", " * (hidden > 0)", "", "only where hidden is above 0"),
    Wrong("15", "dhidden @ weight1 + dsum", "dhidden @ weight1 + x", "two paths"),
    Wrong("15", "dsum.T @ hidden", "hidden.T @ dsum"),
    Wrong("16", "logp.exp() - wanted", "logp - wanted"),
    Wrong("16", " / len(logp)", ""),
    Wrong("16", "dloss * ", ""),
    Wrong("16", "logp.exp() - wanted", "wanted - logp.exp()", "the sign is flipped"),
    Wrong(
        "16",
        "(logp.exp() - wanted) / len(logp)",
        "(logp.exp() - wanted) / logp.numel()",
    ),
    Wrong(
        "17",
        "p -= self.lr * self.weight_decay * p",
        "p.grad += self.weight_decay * p",
    ),
    Wrong("17", "p -= self.lr * self.weight_decay * p", "p -= self.weight_decay * p"),
    Wrong("17", "p -= self.lr * self.weight_decay * p", "pass"),
    Wrong("17", "(v_hat.sqrt() + self.eps)", "(v_hat + self.eps)"),
    Wrong("17", " / (1 - beta2**self.t)", ""),
    Wrong("18", "out.exp() * dout.sum(dim=dim, keepdim=True)", "out.exp() * dout"),
    Wrong("18", "dout - out.exp() * dout.sum(dim=dim, keepdim=True)", "dout"),
    Wrong("18", "out.exp() * dout.sum", "out * dout.sum"),
    Wrong("18", "dout.sum(dim=dim, keepdim=True)", "dout.sum()", "it is wrong in all 7 cases"),
    Wrong("18", "dout - out", "dout + out", "that of what is taken off"),
]


def mistaken_task(wrong: Wrong) -> Task:
    """The task that the mistake is in."""
    before = answer_to(wrong.number).rpartition(wrong.right)[0]
    name = re.findall(r"^(?:class|def) (\w+)", before, re.MULTILINE)[-1]
    return next(task for task in find_exercise(wrong.number).tasks if name in task.names)


def start_of(number: str) -> str:
    return find_exercise(number).start.read_text(encoding="utf-8")


def answer_to(number: str) -> str:
    """The starting file, filled in."""
    text = start_of(number)
    for name, body in ANSWERS[number].items():
        line = re.search(rf'^( +)raise NotImplementedError\("{re.escape(name)}"\)$', text, re.MULTILINE)
        text = text.replace(line[0], textwrap.indent(textwrap.dedent(body).strip("\n").rstrip(), line[1]))
    return text


def wrong_answer(wrong: Wrong) -> str:
    before, found, after = answer_to(wrong.number).rpartition(wrong.right)
    assert found, f"{wrong.right!r} is not in the answer to {wrong.number}"
    return before + wrong.wrong + after
