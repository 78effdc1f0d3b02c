#!/usr/bin/env python3
"""Makes the goldens of training and resizing in tests/golden with Keras and TensorFlow.

    python3 -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0 keras==3.15.1
    tf/bin/python tools/golden.py                 # rewrites tests/golden/*.safetensors
    tf/bin/python tools/golden.py --out DIR

The same versions give the same bytes: all data come from numpy's seeded generator, TensorFlow runs on one thread.

Training: one file a case (see CASES). Twenty optimizer steps over four batches in turn, dropout nowhere. Tensors:

    x                u8  [4, n, h, w, c]   the images; the net sees x / 255
    y                f32 [4, n, classes]   one-hot for softmax, multi-hot for sigmoid
    losses           f64 [20]              before each step; class weights included
    init/NAME        f32                   weights and moving statistics before the first step
    grad/NAME        f32                   gradient of the first loss; trainable weights only
    final/NAME       f32                   weights and moving statistics after the last step
    eval/logits      f32 [n, classes]      batch 0 through the final net in inference mode

NAME is Keras' (conv2d/kernel HWIO, dense/kernel [in][out], batch_normalization_1/moving_mean, ...), and the one
metadata key `case` holds the layers, loss, optimizer and, where gradients are clipped, their norm as JSON. Everything is
computed in float64, so that a difference is the reader's. A float32 implementation can only follow such a trajectory as
long as rounding decides nothing, so a case takes the first seed for which, at every step,

  - no ReLU's input is within MARGIN of zero and no pooling window's two largest are within MARGIN of each other
    (both relative to the layer's root mean square). Windows whose largest are several equal zeros of the ReLU are let
    be: ReLU stops the gradient at all of them, so the choice shows nowhere;
  - every channel that batch norm follows is on for 2 to 98 % of its pixels (one that is always on has a bias whose
    true gradient is zero, which Adam turns into noise), and every other unit is on somewhere in the four batches;
  - Keras in float32 stays ten times closer to float64 than the tests demand (DRIFT).

Resize: resize.safetensors, outputs of tf.image.resize (bilinear, half-pixel centres, no antialias, aspect not kept) on
images that `pixels` below defines in integers, so that the reader makes the same ones:

    NAME             u8  [ceil(oh / step), ceil(ow / step), 3]   rows and columns 0, step, 2 step, ... of the output

rounded as floor(v + 0.5); the metadata key `cases` lists {name, kind, seed, width, height, to_width, to_height, step}.
"""

import argparse
import os
import pathlib

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf
import keras

from golden_file import write_safetensors

STEPS, BATCHES, BATCH = 20, 4, 6
MARGIN = 2e-6
DRIFT = 1e-5


def conv(filters, kernel=(3, 3), stride=1, padding="valid"):
    return {"layer": "conv2d", "filters": filters, "kernel": list(kernel), "stride": stride, "padding": padding}


def dense(units):
    return {"layer": "dense", "units": units}


def norm(momentum=0.99):
    return {"layer": "batch_normalization", "momentum": momentum, "epsilon": 1e-3}


def pool(size=2):
    return {"layer": "max_pooling2d", "size": size}


RELU = {"layer": "relu"}
FLATTEN = {"layer": "flatten"}


def adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    return {"optimizer": "adam", "learning_rate": learning_rate, "beta_1": beta_1, "beta_2": beta_2,
            "epsilon": epsilon}


def sgd(learning_rate, momentum=0.0, nesterov=False):
    return {"optimizer": "sgd", "learning_rate": learning_rate, "momentum": momentum, "nesterov": nesterov}


def loss(kind, class_weights=None):
    return {"head": kind, "class_weights": class_weights}


CASES = {
    # The model of the three experiments, small.
    "adam_sigmoid": dict(
        input=[20, 20, 3],
        layers=[conv(4), RELU, norm(), pool(), conv(8), RELU, norm(), pool(), FLATTEN, dense(8), RELU, dense(5)],
        loss=loss("sigmoid"), optimizer=adam()),
    # 'same' padding, and odd sizes whose last row and column the pooling drops.
    "nesterov_softmax": dict(
        input=[15, 13, 3],
        layers=[conv(4, padding="same"), RELU, norm(), pool(), conv(8, padding="same"), RELU, norm(), pool(), FLATTEN,
                dense(8), RELU, dense(5)],
        loss=loss("softmax"), optimizer=sgd(3e-4, 0.9, nesterov=True)),
    # Strides whose 'same' padding is uneven (1 above, 2 below; 0 left, 1 right), and batch norm that forgets fast.
    "sgd_strided": dict(
        input=[18, 14, 3],
        layers=[conv(4, (5, 3), 2, "same"), RELU, norm(0.9), conv(6, (3, 3), 2), RELU, norm(0.9), FLATTEN, dense(5)],
        loss=loss("sigmoid"), optimizer=sgd(5e-3)),
    # Even kernels, grey images, windows of three; the true class weighs each image's loss.
    "momentum_softmax_weighted": dict(
        input=[16, 17, 1],
        layers=[conv(6, (2, 4), padding="same"), RELU, norm(0.9), pool(3), FLATTEN, dense(8), RELU, dense(4)],
        loss=loss("softmax", [0.5, 1.0, 2.0, 3.0]), optimizer=sgd(5e-4, 0.9)),
    # Hyperparameters of Adam's own under which the place of epsilon matters; each class' column has its weight.
    "adam_sigmoid_weighted": dict(
        input=[11, 12, 3],
        layers=[conv(8), RELU, norm(0.95), pool(), FLATTEN, dense(6)],
        loss=loss("sigmoid", [0.25, 0.5, 1.0, 1.5, 2.0, 4.0]), optimizer=adam(2e-3, 0.8, 0.99, 1e-3)),
    # Gradients that are clipped by their common norm in some steps and not in others.
    "momentum_softmax_clipped": dict(
        input=[12, 11, 3],
        layers=[conv(6, padding="same"), RELU, norm(0.9), pool(), FLATTEN, dense(8), RELU, dense(4)],
        loss=loss("softmax"), optimizer=sgd(3e-3, 0.9), clip_norm=6.0),
}


class Unfit(Exception):
    """This seed's trajectory hangs on rounding; the message says where."""


# ---------------------------------------------------------------------------------------------------------- training


def build(case):
    """The case's net in the current float type, its layers named by Keras' scheme."""
    keras.backend.clear_session()
    layers = [keras.Input(case["input"])]
    for spec in case["layers"]:
        spec = dict(spec)
        match spec.pop("layer"):
            case "conv2d":
                layers.append(keras.layers.Conv2D(spec["filters"], spec["kernel"], spec["stride"], spec["padding"]))
            case "relu":
                layers.append(keras.layers.ReLU())
            case "batch_normalization":
                layers.append(keras.layers.BatchNormalization(momentum=spec["momentum"], epsilon=spec["epsilon"]))
            case "max_pooling2d":
                layers.append(keras.layers.MaxPooling2D(spec["size"]))
            case "flatten":
                layers.append(keras.layers.Flatten())
            case "dense":
                layers.append(keras.layers.Dense(spec["units"]))
    return keras.Sequential(layers)


def weights(model):
    """{name: variable} of all weights, moving statistics included."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}


def draw_init(case, x, rng):
    """Initial values, none of them trivial: biases, beta and moving statistics too, and a negative gamma.

    Biases centre each unit's input on the images `x`, so that none starts dead or always on.
    """
    keras.backend.set_floatx("float64")
    model = build(case)
    for name, v in weights(model).items():
        shape, kind = tuple(v.shape), name.split("/")[1]
        if kind == "kernel":
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6.0 / (receptive * (shape[-2] + shape[-1])))
            v.assign(rng.uniform(-limit, limit, shape))
        elif kind == "gamma":
            v.assign(rng.uniform(0.5, 1.5, shape) * np.where(np.arange(shape[0]) == 1, -1, 1))
        elif kind == "moving_variance":
            v.assign(rng.uniform(0.5, 1.5, shape))
        elif kind != "bias":
            v.assign(rng.uniform(-0.3, 0.3, shape))
    start = {name: v.numpy() for name, v in weights(model).items() if "/moving_" in name}
    z = tf.constant(x.reshape(-1, *x.shape[2:]) / 255)
    for layer in model.layers:
        z = layer(z, training=True)
        if hasattr(layer, "bias"):
            mean, deviation = (f(z.numpy(), axis=tuple(range(z.ndim - 1))) for f in (np.mean, np.std))
            layer.bias.assign(-mean + rng.uniform(-0.2, 0.2, mean.shape) * deviation)
            z += layer.bias
    init = {name: start.get(name, v.numpy()) for name, v in weights(model).items()}
    return {name: value.astype(np.float32) for name, value in init.items()}


def draw_batches(case, rng):
    """Images (a colour, a slope and noise each) and labels that depend on them a little."""
    h, w, c = case["input"]
    classes = case["layers"][-1]["units"]
    shape = (BATCHES, BATCH, h, w, c)
    colour = rng.uniform(90, 165, (BATCHES, BATCH, 1, 1, c))
    slope = rng.uniform(-20, 20, (2, BATCHES, BATCH, 1, 1, c))
    ramp = slope[0] * np.linspace(-1, 1, h)[:, None, None] + slope[1] * np.linspace(-1, 1, w)[None, :, None]
    x = np.clip(colour + ramp + rng.normal(0, 35, shape), 0, 255).astype(np.uint8)
    score = colour.reshape(BATCHES, BATCH, c) @ rng.normal(0, 0.02, (c, classes)) + rng.normal(0, 1, (BATCHES, BATCH, classes))
    if case["loss"]["head"].startswith("softmax"):
        y = np.eye(classes)[score.argmax(-1)]
    else:
        y = score > np.median(score)
    return x, y.astype(np.float32)


def loss_of(case, y, logits):
    """The mean over the batch (softmax) or over the batch and the classes (sigmoid) of the weighted terms."""
    class_weights = case["loss"]["class_weights"]
    softmax = case["loss"]["head"].startswith("softmax")
    if class_weights is None:
        kind = keras.losses.CategoricalCrossentropy if softmax else keras.losses.BinaryCrossentropy
        return kind(from_logits=True)(y, logits)
    cw = tf.constant(class_weights, logits.dtype)
    if softmax:
        terms = tf.nn.softmax_cross_entropy_with_logits(y, logits) * tf.reduce_sum(y * cw, -1)
    else:
        terms = tf.nn.sigmoid_cross_entropy_with_logits(y, logits) * cw
    return tf.reduce_mean(terms)


def check_relu(z, followed_by_norm):
    """Returns which units are on for some image."""
    rms = np.sqrt(np.mean(z**2))
    if (margin := np.abs(z).min() / rms) < MARGIN:
        raise Unfit(f"ReLU margin {margin:.1e}")
    if followed_by_norm:
        share = (z > 0).mean(axis=(0, 1, 2))
        if share.min() < 0.02 or share.max() > 0.98:
            raise Unfit(f"channel on for {share.min():.2f} to {share.max():.2f}")
    return (z > 0).any(axis=tuple(range(z.ndim - 1)))


def check_pool(a, size, relu):
    """`a` is pooled, `relu` holds the activations that `a` is the normalised form of."""

    def windows(t):
        n, h, w, c = t.shape
        t = t[:, : h // size * size, : w // size * size]
        t = t.reshape(n, h // size, size, w // size, size, c).transpose(0, 1, 3, 5, 2, 4)
        return t.reshape(-1, size * size)

    a, relu = windows(a), windows(relu)
    order = np.argsort(a, axis=1)
    rows = np.arange(len(a))
    first, second = (rows, order[:, -1]), (rows, order[:, -2])
    both_zero = (relu[first] == 0) & (relu[second] == 0)
    gap = (a[first] - a[second])[~both_zero].min() / np.sqrt(np.mean(a**2))
    if gap < MARGIN:
        raise Unfit(f"pooling gap {gap:.1e}")


def forward(model, x, training, on=None):
    """The net's logits. Given `on`, {layer's index: the units that have been on}, brings it up to date, and raises Unfit
    at a tie or at a channel that is always on or off."""
    relu = None
    for i, layer in enumerate(model.layers):
        if on is not None and isinstance(layer, keras.layers.ReLU):
            on[i] = on.get(i, False) | check_relu(x.numpy(), isinstance(model.layers[i + 1], keras.layers.BatchNormalization))
        if on is not None and isinstance(layer, keras.layers.MaxPooling2D):
            check_pool(x.numpy(), layer.pool_size[0], relu.numpy())
        x = layer(x, training=training)
        if isinstance(layer, keras.layers.ReLU):
            relu = x
    return x


def run(case, floatx, init, x, y):
    """Trains; returns the tensors of the docstring's table that are results."""
    keras.backend.set_floatx(floatx)
    model = build(case)
    named = weights(model)
    for name, value in init.items():
        named[name].assign(value)
    o = {k: v for k, v in case["optimizer"].items() if k != "optimizer"} | {"global_clipnorm": case.get("clip_norm")}
    optimizer = keras.optimizers.Adam(**o) if case["optimizer"]["optimizer"] == "adam" else keras.optimizers.SGD(**o)
    trainable = {name: v for name, v in named.items() if v.trainable}
    images = tf.constant(x.astype(floatx) / 255)
    labels = tf.constant(y.astype(floatx))
    out, losses, clipped = {}, [], set()
    for step in range(STEPS):
        b = step % BATCHES
        if b == 0:
            on = {} if floatx == "float64" else None
        with tf.GradientTape() as tape:
            logits = forward(model, images[b], training=True, on=on)
            value = loss_of(case, labels[b], logits)
        if on and b == BATCHES - 1 and not all(units.all() for units in on.values()):
            raise Unfit("dead unit")
        gradients = tape.gradient(value, [v.value for v in trainable.values()])
        if step == 0:
            out |= {f"grad/{name}": g.numpy() for name, g in zip(trainable, gradients)}
        clipped.add("clip_norm" in case and float(tf.linalg.global_norm(gradients)) > case["clip_norm"])
        optimizer.apply(gradients, list(trainable.values()))
        losses.append(float(value))
    if "clip_norm" in case and len(clipped) < 2:
        raise Unfit(f"it clips {'every step' if True in clipped else 'no step'}")
    out["losses"] = np.array(losses)
    out |= {f"final/{name}": v.numpy() for name, v in named.items()}
    out["eval/logits"] = forward(model, images[0], training=False).numpy()
    return out


def train_case(name, case):
    """The case's tensors, for the first fit seed."""
    for seed in range(1000):
        rng = np.random.default_rng([seed, *name.encode()])
        x, y = draw_batches(case, rng)
        init = draw_init(case, x, rng)
        try:
            exact = run(case, "float64", init, x, y)
            single = run(case, "float32", init, x, y)
            drift = {k: np.linalg.norm(single[k] - exact[k]) / np.linalg.norm(exact[k]) for k in exact}
            drift["losses"] = np.abs(single["losses"] / exact["losses"] - 1).max()
            worst = max(drift, key=drift.get)
            if drift[worst] > DRIFT:
                raise Unfit(f"float32 drifts by {drift[worst]:.1e} in {worst}")
        except Unfit as reason:
            print(f"{name}: seed {seed}: {reason}")
            continue
        losses = exact["losses"]
        print(f"{name}: seed {seed}: loss {losses[0]:.4f} .. {losses[-1]:.4f}, "
              f"float32 within {drift[worst]:.1e} ({worst})")
        tensors = {"x": x, "y": y, "losses": losses}
        tensors |= {f"init/{k}": v for k, v in init.items()}
        tensors |= {k: v.astype(np.float32) for k, v in exact.items() if k != "losses"}
        return tensors
    raise SystemExit(f"{name}: no fit seed")


# ------------------------------------------------------------------------------------------------------------ resize

RESIZE = [
    dict(name=name, kind=kind, seed=seed, width=w, height=h, to_width=tw, to_height=th, step=step)
    for seed, (name, kind, (w, h), (tw, th), step) in enumerate([
        ("poster_noise", "noise", (230, 345), (256, 256), 3),
        ("poster_smooth", "smooth", (230, 345), (256, 256), 3),
        ("odd_noise", "noise", (182, 268), (256, 256), 5),
        ("large_noise", "noise", (300, 444), (256, 256), 5),
        ("thrice_noise", "noise", (768, 771), (256, 256), 5),
        ("small_smooth", "smooth", (37, 53), (256, 256), 5),
        ("identity_noise", "noise", (256, 256), (256, 256), 7),
        ("pixel", "noise", (1, 1), (256, 256), 17),
        ("strip_noise", "noise", (7, 300), (256, 256), 5),
        ("flat_noise", "noise", (300, 2), (256, 256), 5),
        ("down_noise", "noise", (182, 268), (64, 48), 1),
        ("odd_to_odd_noise", "noise", (37, 53), (63, 31), 1),
    ])
]


def pixels(kind, seed, width, height):
    """u8 [height, width, 3], from integers alone (all products modulo 2^32).

    noise: with i the flat index, v = (i + 1000003 seed) * 2654435761; v ^= v >> 15; v *= 2246822519; v >> 24.
    smooth: triangle waves: t = ((5 + c) x + (3 + 2 c) y + 40 c + seed) mod 510; t if t < 256, else 510 - t.
    """
    if kind == "noise":
        i = np.arange(height * width * 3, dtype=np.uint64) + 1000003 * seed
        v = i * 2654435761 % 2**32
        v = (v ^ (v >> 15)) * 2246822519 % 2**32
        return (v >> 24).astype(np.uint8).reshape(height, width, 3)
    y, x, c = np.ogrid[:height, :width, :3]
    t = ((5 + c) * x + (3 + 2 * c) * y + 40 * c + seed) % 510
    return np.where(t < 256, t, 510 - t).astype(np.uint8)


def resize_tensors():
    tensors = {}
    for r in RESIZE:
        image = pixels(r["kind"], r["seed"], r["width"], r["height"]).astype(np.float32)
        to = tf.image.resize(image, [r["to_height"], r["to_width"]]).numpy()
        tensors[r["name"]] = np.floor(to + 0.5).astype(np.uint8)[:: r["step"], :: r["step"]]
    return tensors


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Makes the goldens in tests/golden with Keras and TensorFlow.")
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "golden", help="default: %(default)s")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, numpy {np.__version__}")
    for name, case in CASES.items():
        write_safetensors(out / f"{name}.safetensors", train_case(name, case), "case", case)
    write_safetensors(out / "resize.safetensors", resize_tensors(), "cases", RESIZE)


if __name__ == "__main__":
    main()
