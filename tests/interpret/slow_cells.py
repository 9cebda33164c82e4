"""The cells one number at a time, in NumPy: what TF1's code does, with its 1 added to the forget gate."""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def affine(rows, weight, bias):
    return [sum(r * weight[i][j] for i, r in enumerate(rows)) + bias[j] for j in range(len(bias))]


def vanilla(x, h, p):
    return [math.tanh(z) for z in affine([*x, *h], p["W"], p["b"])]


def gru(x, h, p):
    n = len(h)
    gates = [sigmoid(z) for z in affine([*x, *h], p["W"], p["b"])]
    reset, update = gates[:n], gates[n:]
    candidate = [math.tanh(z) for z in affine([*x, *(r * v for r, v in zip(reset, h, strict=True))], p["Wc"], p["bc"])]
    return [u * v + (1 - u) * c for u, v, c in zip(update, h, candidate, strict=True)]


def nested(x, h, memories, levels):
    """One level is the LSTM itself; `levels` hold W and b, the latter without the 1 of the forget gate."""
    n, (weight, bias) = len(h), levels[0]
    z = affine([*x, *h], weight, bias)
    i, j, f, o = z[:n], z[n : 2 * n], z[2 * n : 3 * n], z[3 * n :]
    kept = [sigmoid(a + 1) * c for a, c in zip(f, memories[0], strict=True)]
    if len(levels) == 1:
        memory = [k + sigmoid(a) * math.tanh(b) for k, a, b in zip(kept, i, j, strict=True)]
        rest = []
    else:
        memory, rest = nested([sigmoid(a) * b for a, b in zip(i, j, strict=True)], kept, memories[1:], levels[1:])
    return [math.tanh(c) * sigmoid(a) for c, a in zip(memory, o, strict=True)], [memory, *rest]


def run(kind, inputs, width, p):
    """Outputs at all positions."""
    h, memories, out = [0.0] * width, [[0.0] * width for _ in p.get("levels", [])], []
    for x in inputs:
        if kind == "rnn":
            h = vanilla(x, h, p)
        elif kind == "gru":
            h = gru(x, h, p)
        else:
            h, memories = nested(x, h, memories, p["levels"])
        out.append(h)
    return np.array(out)
