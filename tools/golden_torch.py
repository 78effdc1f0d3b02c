#!/usr/bin/env python3
"""Makes tests/golden/backward.safetensors, the golden of the backward passes, with PyTorch.

    python3 -m venv torch && torch/bin/pip install torch==2.15.0 numpy==2.4.6
    torch/bin/python tools/golden_torch.py                # rewrites tests/golden/backward.safetensors
    torch/bin/python tools/golden_torch.py --out DIR

That package has gigabytes for GPUs in it, which are not used; one without them is at
--index-url https://download.pytorch.org/whl/cpu. The same versions give the same bytes: all data come from numpy's
seeded generator, PyTorch runs on one thread. (Of the builds, only the first has been tried.)

A case (see CASES) is an operation with its sizes. Its inputs are drawn in float32, PyTorch computes the output in
float64, and its autograd the gradients of `sum(output * dy)`, or of the loss where the output is one. So nothing here
knows how a gradient is made. Tensors are f32, results rounded to it, images NHWC and kernels HWIO as ours are, named
CASE/NAME with the NAME of our kernels' operands: x, w, bias, gamma, beta, dy and so on are given; y, dx, dw, db,
dgamma, dbeta, loss, dlogits are to be found. The one metadata key `cases` holds {CASE: {op, and its sizes}} as JSON.

    conv2d           stride, padding ("same" as TensorFlow has it: an odd zero goes below and to the right)
    batch_norm       epsilon; with the statistics of the batch
    max_pool         size, which is also the stride
    block            convolution 3x3, ReLU, batch norm, max-pooling 2x2: epsilon, padding
    dense, global_average_pool, scale_channels, relu, sigmoid
    sigmoid_cross_entropy, softmax_cross_entropy
                     smoothing, focus; class weights are a tensor where there are some

PyTorch's own losses serve where they mean what ours do. Its cross_entropy divides by the sum of the weights, where ours
divides by the number of images, so it sums here and the quotient is taken after. Where weights meet smoothing, its
smoothed share is weighted by class, ours as the true class is, and a focal loss it does not have: those are written out
below, and differentiated by autograd like all else.

float32 can choose another way than float64 only next to a kink or a tie. Values to be pooled are spread evenly, all
different; a block takes the first seed that keeps ReLU's inputs and the two largest of each window apart by MARGIN.
"""

import argparse
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from golden_file import write_safetensors

# Relative to the root mean square: a hundred times what float32 rounds.
MARGIN = 1e-4


def conv(n, h, w, ic, oc, k, stride=1, padding="valid"):
    kh, kw = k if isinstance(k, tuple) else (k, k)
    return dict(op="conv2d", n=n, h=h, w=w, ic=ic, oc=oc, kh=kh, kw=kw, stride=stride, padding=padding)


def block(n, h, w, ic, oc, padding, epsilon=1e-3):
    return dict(op="block", n=n, h=h, w=w, ic=ic, oc=oc, padding=padding, epsilon=epsilon)


CASES = {
    # Windows of all sizes, odd images, channels that fill no vector.
    "conv_3x3_valid": conv(2, 7, 6, 3, 5, 3),
    "conv_3x3_same": conv(2, 7, 5, 4, 6, 3, padding="same"),
    "conv_3x3_valid_stride_2": conv(1, 9, 8, 5, 7, 3, 2),
    "conv_3x3_same_stride_2": conv(2, 8, 7, 4, 3, 3, 2, "same"),
    "conv_5x5_same": conv(1, 6, 7, 2, 4, 5, padding="same"),
    "conv_5x5_same_stride_2": conv(1, 8, 9, 3, 2, 5, 2, "same"),
    "conv_5x5_valid_stride_2": conv(2, 11, 10, 3, 4, 5, 2),
    "conv_2x2_same": conv(2, 5, 4, 3, 17, 2, padding="same"),
    "conv_2x2_valid_stride_2": conv(2, 7, 5, 6, 5, 2, 2),
    "conv_2x2_same_stride_2": conv(2, 5, 7, 3, 4, 2, 2, "same"),
    "conv_1x1": conv(2, 3, 5, 19, 6, 1),
    "conv_1x1_same_stride_2": conv(2, 7, 5, 6, 5, 1, 2, "same"),
    "conv_2x3_same": conv(1, 6, 5, 3, 18, (2, 3), padding="same"),
    "conv_rgb_same": conv(1, 4, 21, 3, 16, 3, padding="same"),
    # Channels in whole vectors: minimal filtering, in tiles that fit the image and that do not.
    "conv_16_to_32_same": conv(1, 7, 6, 16, 32, 3, padding="same"),
    "conv_16_to_16_valid": conv(2, 6, 5, 16, 16, 3),
    "norm_5": dict(op="batch_norm", n=2, h=5, w=3, c=5, epsilon=1e-3),
    "norm_16": dict(op="batch_norm", n=3, h=3, w=3, c=16, epsilon=1e-5),
    "norm_67": dict(op="batch_norm", n=5, h=1, w=1, c=67, epsilon=1e-3),
    "pool_2": dict(op="max_pool", n=2, h=7, w=6, c=5, size=2),
    "pool_3": dict(op="max_pool", n=1, h=7, w=10, c=17, size=3),
    "block_valid": block(2, 9, 8, 3, 5, "valid"),
    "block_same": block(2, 7, 9, 4, 6, "same", 1e-5),
    "block_16_to_16": block(2, 6, 5, 16, 16, "same"),
    "dense": dict(op="dense", n=3, inputs=37, outputs=5),
    "dense_wide": dict(op="dense", n=9, inputs=20, outputs=33),
    "average": dict(op="global_average_pool", n=2, h=5, w=3, c=19),
    "scale": dict(op="scale_channels", n=2, h=3, w=3, c=19),
    "relu": dict(op="relu", n=2, c=67),
    "sigmoid": dict(op="sigmoid", n=2, c=67),
    "multi_label": dict(op="sigmoid_cross_entropy", n=5, classes=7, weighted=False, smoothing=0.0, focus=0.0),
    "multi_label_weighted": dict(op="sigmoid_cross_entropy", n=5, classes=7, weighted=True, smoothing=0.1, focus=0.0),
    "multi_label_focal": dict(op="sigmoid_cross_entropy", n=5, classes=7, weighted=True, smoothing=0.1, focus=2.0),
    "one_label": dict(op="softmax_cross_entropy", n=5, classes=7, weighted=False, smoothing=0.0, focus=0.0),
    "one_label_weighted": dict(op="softmax_cross_entropy", n=5, classes=7, weighted=True, smoothing=0.0, focus=0.0),
    "one_label_smoothed": dict(op="softmax_cross_entropy", n=5, classes=7, weighted=False, smoothing=0.1, focus=0.0),
    "one_label_focal": dict(op="softmax_cross_entropy", n=5, classes=7, weighted=True, smoothing=0.1, focus=2.0),
}


class Unfit(Exception):
    """This seed's results hang on rounding; the message says where."""


class Data:
    """A case's tensors: the inputs as they were drawn, and as PyTorch sees them."""

    def __init__(self, rng):
        self.rng = rng
        self.tensors = {}
        self.leaves = {}

    def given(self, name, value, differentiable=True):
        self.tensors[name] = np.asarray(value, np.float32)
        leaf = torch.tensor(self.tensors[name], dtype=torch.float64, requires_grad=differentiable)
        self.leaves[name] = leaf
        return leaf

    def uniform(self, name, *shape, low=-1.0, high=1.0, differentiable=True):
        return self.given(name, self.rng.uniform(low, high, shape), differentiable)

    def found(self, name, value):
        self.tensors[name] = value.detach().numpy().astype(np.float32)

    def backward(self, y, gradients):
        """Draws dy, and finds the output and the gradients: {the name of one: that of what it is of}."""
        self.found("y", y)
        dy = self.uniform("dy", *y.shape, differentiable=False)
        self.gradients((y * dy).sum(), gradients)

    def gradients(self, of, gradients):
        of.backward()
        for name, of in gradients.items():
            self.found(name, self.leaves[of].grad)


def channels_first(x):
    return x.permute(0, 3, 1, 2)


def channels_last(x):
    return x.permute(0, 2, 3, 1)


def zeros_around(size, kernel, stride):
    """How many zeros TensorFlow's 'same' puts before and after."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolved(x, w, bias, stride, padding):
    """NHWC by HWIO to NHWC."""
    x = channels_first(x)
    if padding == "same":
        rows, columns = (zeros_around(x.shape[2 + i], w.shape[i], stride) for i in range(2))
        x = F.pad(x, (*columns, *rows))
    return channels_last(F.conv2d(x, w.permute(3, 2, 0, 1), bias, stride))


def normalised(x, gamma, beta, epsilon):
    return channels_last(F.batch_norm(channels_first(x), None, None, gamma, beta, training=True, eps=epsilon))


def pooled(x, size):
    return channels_last(F.max_pool2d(channels_first(x), size))


def distinct(rng, *shape):
    """Values from -1 to 1 in equal steps, shuffled: no two nearer than a step."""
    return rng.permutation(np.linspace(-1, 1, int(np.prod(shape)))).reshape(shape)


def gammas(rng, c):
    """Between 0.5 and 1.5, every third negative."""
    return rng.uniform(0.5, 1.5, c) * np.where(np.arange(c) % 3 == 1, -1, 1)


def conv2d(data, n, h, w, ic, oc, kh, kw, stride, padding):
    x, weights, bias = data.uniform("x", n, h, w, ic), data.uniform("w", kh, kw, ic, oc), data.uniform("bias", oc)
    data.backward(convolved(x, weights, bias, stride, padding), {"dx": "x", "dw": "w", "db": "bias"})


def batch_norm(data, n, h, w, c, epsilon):
    # Channels of all means and deviations.
    means, deviations = data.rng.uniform(-3, 3, c), data.rng.uniform(0.1, 2, c)
    x = data.given("x", data.rng.normal(means, deviations, (n, h, w, c)))
    gamma, beta = data.given("gamma", gammas(data.rng, c)), data.uniform("beta", c)
    data.backward(normalised(x, gamma, beta, epsilon), {"dx": "x", "dgamma": "gamma", "dbeta": "beta"})


def max_pool(data, n, h, w, c, size):
    x = data.given("x", distinct(data.rng, n, h, w, c))
    data.backward(pooled(x, size), {"dx": "x"})


def check_margins(z, y):
    """`z` goes into ReLU, `y` into the pooling. Windows in which ReLU lets nothing pass are all ties, and harmless: the
    gradient stops there."""
    if (margin := z.abs().min() / z.square().mean().sqrt()) < MARGIN:
        raise Unfit(f"ReLU margin {margin:.1e}")

    def windows(x):
        return F.unfold(channels_first(x), 2, stride=2).reshape(len(x), x.shape[3], 4, -1)

    two = windows(y).topk(2, dim=2)
    passed = windows(torch.relu(z)).gather(2, two.indices)
    gap = (two.values[:, :, 0] - two.values[:, :, 1])[(passed > 0).any(2)].min() / y.square().mean().sqrt()
    if gap < MARGIN:
        raise Unfit(f"pooling gap {gap:.1e}")


def block_of_four(data, n, h, w, ic, oc, padding, epsilon):
    x, weights, bias = data.uniform("x", n, h, w, ic), data.uniform("w", 3, 3, ic, oc), data.uniform("bias", oc)
    gamma, beta = data.given("gamma", gammas(data.rng, oc)), data.uniform("beta", oc)
    z = convolved(x, weights, bias, 1, padding)
    y = normalised(torch.relu(z), gamma, beta, epsilon)
    check_margins(z.detach(), y.detach())
    gradients = {"dx": "x", "dw": "w", "db": "bias", "dgamma": "gamma", "dbeta": "beta"}
    data.backward(pooled(y, 2), gradients)


def dense(data, n, inputs, outputs):
    x, w, bias = data.uniform("x", n, inputs), data.uniform("w", inputs, outputs), data.uniform("bias", outputs)
    data.backward(F.linear(x, w.T, bias), {"dx": "x", "dw": "w", "db": "bias"})


def global_average_pool(data, n, h, w, c):
    x = data.uniform("x", n, h, w, c)
    data.backward(F.adaptive_avg_pool2d(channels_first(x), 1).flatten(1), {"dx": "x"})


def scale_channels(data, n, h, w, c):
    x, factors = data.uniform("x", n, h, w, c), data.uniform("factors", n, c)
    data.backward(x * factors[:, None, None, :], {"dx": "x", "dfactors": "factors"})


def relu(data, n, c):
    # Zeros are among them.
    x = data.given("x", data.rng.integers(-2, 3, (n, c)) * data.rng.uniform(0.5, 1, (n, c)))
    data.backward(torch.relu(x), {"dx": "x"})


def sigmoid(data, n, c):
    x = data.uniform("x", n, c, low=-6, high=6)
    data.backward(torch.sigmoid(x), {"dx": "x"})


def class_weights(data, classes, weighted):
    if not weighted:
        return torch.ones(classes, dtype=torch.float64)
    return data.uniform("class_weights", classes, low=0.25, high=3, differentiable=False)


def sigmoid_cross_entropy(data, n, classes, weighted, smoothing, focus):
    logits = data.uniform("logits", n, classes, low=-4, high=4)
    labels = data.given("labels", data.rng.integers(0, 2, (n, classes)), False)
    weights = class_weights(data, classes, weighted)
    targets = labels + smoothing * (0.5 - labels)
    if focus == 0:
        loss = F.binary_cross_entropy_with_logits(logits, targets, weights)
    else:
        p = torch.sigmoid(logits)
        yes, no = (1 - p) ** focus * F.logsigmoid(logits), p ** focus * F.logsigmoid(-logits)
        loss = -(weights * (targets * yes + (1 - targets) * no)).mean()
    data.found("loss", loss)
    data.gradients(loss, {"dlogits": "logits"})


def softmax_cross_entropy(data, n, classes, weighted, smoothing, focus):
    logits = data.uniform("logits", n, classes, low=-4, high=4)
    true = data.rng.integers(0, classes, n)
    labels = data.given("labels", np.eye(classes)[true], False)
    weights = class_weights(data, classes, weighted)
    if focus == 0 and not (weighted and smoothing):
        total = F.cross_entropy(logits, torch.tensor(true), weights, reduction="sum", label_smoothing=smoothing)
    else:
        targets = labels + smoothing * (1 / classes - labels)
        log_p = F.log_softmax(logits, 1)
        terms = -targets * (1 - log_p.exp()) ** focus * log_p
        total = (weights[torch.tensor(true)] * terms.sum(1)).sum()
    loss = total / n
    data.found("loss", loss)
    data.gradients(loss, {"dlogits": "logits"})


OPERATIONS = dict(
    conv2d=conv2d, batch_norm=batch_norm, max_pool=max_pool, block=block_of_four, dense=dense,
    global_average_pool=global_average_pool, scale_channels=scale_channels, relu=relu, sigmoid=sigmoid,
    sigmoid_cross_entropy=sigmoid_cross_entropy, softmax_cross_entropy=softmax_cross_entropy,
)


def tensors_of(name, case):
    """The case's tensors, for the first fit seed."""
    sizes = {key: value for key, value in case.items() if key != "op"}
    for seed in range(1000):
        data = Data(np.random.default_rng([seed, *name.encode()]))
        try:
            OPERATIONS[case["op"]](data, **sizes)
        except Unfit as reason:
            print(f"{name}: seed {seed}: {reason}")
            continue
        return {f"{name}/{key}": tensor for key, tensor in data.tensors.items()}
    raise SystemExit(f"{name}: no fit seed")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Makes the golden of the backward passes with PyTorch.")
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "golden", help="default: %(default)s")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, numpy {np.__version__}")
    tensors = {}
    for name, case in CASES.items():
        tensors |= tensors_of(name, case)
    write_safetensors(out / "backward.safetensors", tensors, "cases", CASES)


if __name__ == "__main__":
    main()
