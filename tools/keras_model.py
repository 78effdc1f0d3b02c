#!/usr/bin/env python3
"""onesheet's models in Keras, and Keras' models in onesheet.

    keras_model.py to-keras RUN OUT.keras              a Keras model with the weights of a trained experiment
    keras_model.py from-keras IN.keras OUT.safetensors [--genres A,B,.. | --like RUN]
                                                       a model file for `train run --init-from` and `train predict`
    keras_model.py compare RUN --data DIR --cache DIR [--keras IN.keras]
                                                       the answers of both on the same posters, side by side

In Python, `load(path)` gives the Keras model and the description of a model file, and `save(model, path, ..)` writes
one. The Keras model takes pixels from 0 to 255 and gives probabilities.

Needs Keras 3, on TensorFlow or JAX, NumPy and safetensors."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy
import posters
from keras import layers
from safetensors import safe_open
from safetensors.numpy import save_file

SCALE = 1 / 255
EXPERIMENTS = {"sigmoid": "multi-label", "softmax": "single-genre"}


class Misfit(Exception):
    """What onesheet has no counterpart for, or no model file."""


# ---- from onesheet --------------------------------------------------------------------------------------------------

def file_of(run):
    """The model file that the folder of an experiment holds, or the file itself."""
    run = pathlib.Path(run)
    return run / "model.safetensors" if run.is_dir() else run


def read(run):
    """The description and the weights, by name, of a model file."""
    with safe_open(file_of(run), "numpy") as file:
        description = (file.metadata() or {}).get("onesheet")
        if description is None:
            raise Misfit(f"{file_of(run)}: a safetensors file, but not of onesheet")
        description = json.loads(description)
        if description.get("members", 1) > 1:
            raise Misfit(f"{file_of(run)}: an ensemble of {description['members']} networks; name one of its members")
        return description, {name: file.get_tensor(name) for name in file.keys()}


def layer_of(spec, name):
    """The Keras layer of an entry of the description's `layers`; the fields are those of src/nn/spec.rs."""
    kind = spec["layer"]
    if kind == "conv2d":
        return layers.Conv2D(spec["filters"], spec["kernel"], spec["stride"], spec["padding"], name=name)
    if kind == "batch_normalization":
        return layers.BatchNormalization(momentum=spec["momentum"], epsilon=spec["epsilon"], name=name)
    if kind == "max_pooling2d":
        return layers.MaxPooling2D(spec["size"], name=name)
    if kind == "dense":
        return layers.Dense(spec["units"], name=name)
    if kind == "dropout":
        return layers.Dropout(spec["rate"], name=name)
    plain = {"relu": layers.ReLU, "global_average_pooling2d": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    if kind not in plain:
        raise Misfit(f"a layer {kind}, which this tool does not know")
    return plain[kind](name=name)


def names(kinds):
    """Keras' names of layers of these kinds: the n-th of a kind has `_n` behind it."""
    before = {}
    for kind in kinds:
        kind = "re_lu" if kind == "relu" else kind
        count = before[kind] = before.get(kind, -1) + 1
        yield f"{kind}_{count}" if count else kind


def load(run):
    """The Keras model of a model file, which takes pixels [n, height, width, 3] from 0 to 255 and gives the probability
    of each genre, and the file's description (`genres`, `head`, `views`, ..)."""
    description, weights = read(run)
    specs = description["model"]["layers"]
    chain = [layer_of(spec, name) for spec, name in zip(specs, names(spec["layer"] for spec in specs))]
    head = layers.Activation(description["head"], name=description["head"])
    model = keras.Sequential([keras.Input(description["model"]["input"]), layers.Rescaling(SCALE), *chain, head])
    for layer in chain:
        for variable in layer.variables:
            # The state of dropout's random numbers is no weight.
            if "seed_generator" not in variable.path:
                variable.assign(weights.pop(f"{layer.name}/{variable.name}"))
    if weights:
        raise Misfit(f"{file_of(run)}: weights that no layer has: {', '.join(weights)}")
    return model, description


# ---- to onesheet ----------------------------------------------------------------------------------------------------

def activation_of(layer):
    """The name of the activation that a layer ends in or is."""
    return getattr(layer, "activation", keras.activations.linear).__name__


def relu_of(layer):
    """What a layer's own activation adds behind it: a ReLU, or nothing."""
    activation = activation_of(layer)
    if activation not in ("linear", "relu"):
        raise Misfit(f"{layer.name}: the activation {activation} (linear and relu fit; sigmoid and softmax at the end)")
    return [({"layer": "relu"}, {})] if activation == "relu" else []


def check(layer, **wanted):
    """Refuses a layer one of whose settings is not the one that onesheet's layer has."""
    for setting, value in wanted.items():
        has = getattr(layer, setting)
        if has != value:
            raise Misfit(f"{layer.name}: {setting} is {has!r}, and only {value!r} fits")


def array(variable, length=None, value=None):
    """The values of a variable. Where a layer does without a bias or a gamma, `length` times the value that changes
    nothing."""
    return numpy.full(length, value, "f4") if variable is None else keras.ops.convert_to_numpy(variable).astype("f4")


def entry_of(layer):
    """The entry of the description's `layers` for a Keras layer, without its activation, and its weights by role."""
    if type(layer) is layers.Conv2D:
        check(layer, data_format="channels_last", dilation_rate=(1, 1), groups=1, strides=(layer.strides[0],) * 2)
        spec = {"layer": "conv2d", "filters": layer.filters, "kernel": list(layer.kernel_size),
                "stride": layer.strides[0], "padding": layer.padding}
        return spec, {"kernel": array(layer.kernel), "bias": array(layer.bias, layer.filters, 0)}
    if type(layer) is layers.Dense:
        spec = {"layer": "dense", "units": layer.units}
        return spec, {"kernel": array(layer.kernel), "bias": array(layer.bias, layer.units, 0)}
    if type(layer) is layers.BatchNormalization:
        if layer.axis not in (-1, len(layer.input.shape) - 1):
            raise Misfit(f"{layer.name}: axis is {layer.axis}, and only the last one fits")
        mean, variance = array(layer.moving_mean), array(layer.moving_variance)
        spec = {"layer": "batch_normalization", "momentum": layer.momentum, "epsilon": layer.epsilon}
        gamma, beta = array(layer.gamma, len(mean), 1), array(layer.beta, len(mean), 0)
        return spec, {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    if type(layer) is layers.MaxPooling2D:
        size = layer.pool_size[0]
        check(layer, pool_size=(size, size), strides=(size, size), padding="valid", data_format="channels_last")
        return {"layer": "max_pooling2d", "size": size}, {}
    if type(layer) is layers.GlobalAveragePooling2D:
        check(layer, keepdims=False, data_format="channels_last")
        return {"layer": "global_average_pooling2d"}, {}
    if type(layer) is layers.ReLU:
        check(layer, max_value=None, negative_slope=0, threshold=0)
        return {"layer": "relu"}, {}
    if type(layer) is layers.Activation:
        return None, {}
    if type(layer) is layers.Flatten:
        check(layer, data_format="channels_last")
        return {"layer": "flatten"}, {}
    if type(layer) is layers.Dropout:
        check(layer, noise_shape=None)
        return {"layer": "dropout", "rate": layer.rate}, {}
    raise Misfit(f"{layer.name}: onesheet has no {type(layer).__name__}")


def chain_of(model):
    """The layers of a model, each of which takes what the one before gives."""
    chain = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    if not model.built or len(model.inputs) != 1 or len(model.outputs) != 1 or len(chain) < 2:
        raise Misfit("the model must be built, with one input, one output and layers between them")
    if isinstance(model, keras.Sequential):
        return chain
    given = model.inputs[0]
    for layer in chain:
        if layer.input is not given:
            raise Misfit(f"{layer.name}: it does not follow the layer before it, and onesheet's models are chains")
        given = layer.output
    return chain


def head_of(last, given):
    """The head that a model's last layer is or ends in; `given` where it gives logits."""
    if type(last) is layers.Softmax:
        check(last, axis=-1)
        return "softmax"
    if activation_of(last) in EXPERIMENTS:
        return activation_of(last)
    if given is None:
        raise Misfit(f"{last.name}: it ends in neither sigmoid nor softmax; name the head")
    return given


def entries_of(chain):
    """The entries of the description's `layers` for a chain that ends in a head, and for each its weights by role."""
    *most, last = chain
    for layer in most:
        yield entry_of(layer)
        yield from relu_of(layer)
    if type(last) is not layers.Softmax:
        yield entry_of(last)
        # Sigmoid and softmax are the head.
        yield from relu_of(last) if activation_of(last) not in EXPERIMENTS else []


def save(model, path, genres=None, head=None, like=None, experiment=None):
    """Writes a Keras model as a model file of onesheet.

    The model is a chain that takes images [n, height, width, 3] from 0 to 1, or, if it begins with Rescaling(1/255), from
    0 to 255; onesheet gives it the latter. Its last layer is Dense, and sigmoid or softmax; where it gives logits, name
    the `head`. `genres` are the names of the outputs; without them they are called output_0, output_1, .. `like` is a
    model of onesheet that answers the same question: its genres, views and experiment are taken over.

    Raises `Misfit`, naming the layer, for what onesheet has no counterpart for."""
    chain = chain_of(model)
    if type(chain[0]) is layers.Rescaling:
        first = chain.pop(0)
        if not numpy.allclose(first.scale, SCALE, 1e-6, 0) or numpy.any(first.offset):
            raise Misfit(f"{first.name}: pixels are scaled by 1/255, not {first.scale} and {first.offset}")
    head = head_of(chain[-1], head)
    entries = [(spec, weights) for spec, weights in entries_of(chain) if spec is not None]
    specs = [spec for spec, _ in entries]
    named = zip(names(spec["layer"] for spec in specs), entries)
    tensors = {f"{name}/{role}": values for name, (_, weights) in named for role, values in weights.items()}

    shape, outputs = model.inputs[0].shape[1:], model.outputs[0].shape[-1]
    if len(shape) != 3 or None in shape or shape[2] != 3 or max(shape) > posters.SIDE:
        raise Misfit(f"an input of {shape}: posters are [height, width, 3], each side at most {posters.SIDE}")
    description = {"experiment": EXPERIMENTS[head], "max_genres": 3, "views": "one",
                   "genres": [f"output_{i}" for i in range(outputs)]}
    if like is not None:
        taken = ("experiment", "max_genres", "views", "genres")
        description |= {field: value for field, value in read(like)[0].items() if field in taken}
    description |= {"experiment": experiment or description["experiment"], "genres": genres or description["genres"]}
    if len(description["genres"]) != outputs:
        raise Misfit(f"{len(description['genres'])} genres for {outputs} outputs")
    description |= {"head": head, "model": {"input": list(shape), "layers": specs}}
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    save_file(tensors, path, {"onesheet": text})


# ---- the command ----------------------------------------------------------------------------------------------------

def answers_of(run):
    """The answers of a model file's Keras model on posters."""
    model, description = load(run)
    # The views are averaged before the head, so that it is the logits that are asked for.
    logits = keras.Model(model.inputs, model.layers[-1].input)
    size, head, views = description["model"]["input"][:2], description["head"], description.get("views", "one")
    logits_of = lambda batch: numpy.asarray(logits.predict_on_batch(batch.astype("f4")))
    return lambda images: posters.probabilities(logits_of, images, size, views, head)


def answers_of_keras(file, views):
    """The answers of a model that Keras wrote on posters, of which it sees one view."""
    if views != "one":
        raise Misfit(f"{file}: Keras' own model has one view, and the other one {views}")
    model = keras.models.load_model(file, compile=False)
    scale = 1 if type(model.layers[0]) is layers.Rescaling else SCALE
    shown = lambda images: numpy.stack([posters.seen(image, model.inputs[0].shape[1:3]) for image in images])
    return lambda images: numpy.asarray(model.predict_on_batch(shown(images).astype("f4") * numpy.float32(scale)))


def compare(options):
    run, (description, _) = file_of(options.run), read(options.run)
    views = description.get("views", "one")
    answers = answers_of_keras(options.keras, views) if options.keras else answers_of(run)
    most, spread, count = posters.compare(
        options.train, run, options.data, options.cache, options.posters, description["genres"], answers)
    versions = f"Keras {keras.__version__} on {keras.backend.backend()}"
    print(f"{run}: {count} posters, views {views}, {versions}: probabilities differ by at most {most:.1e}")
    print(f"one genre's probabilities differ from poster to poster by {spread:.1e} on average (standard deviation)")
    return int(not most <= options.most)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("to-keras", help="write the Keras model of a trained experiment")
    command.add_argument("run", help="folder of a trained experiment, or a model file")
    command.add_argument("out", help="the file to write, OUT.keras")
    command = commands.add_parser("from-keras", help="write the model file of a Keras model")
    command.add_argument("model", help="a file that Keras wrote, such as IN.keras")
    command.add_argument("out", help="the file to write, OUT.safetensors")
    command.add_argument("--genres", help="names of the outputs, with commas between them")
    command.add_argument("--head", choices=EXPERIMENTS, help="what makes probabilities of outputs that are logits")
    command.add_argument("--experiment", help="the question: multi-label, single-genre or top-6")
    command.add_argument("--like", metavar="RUN", help="a model of onesheet with the same outputs")
    command = commands.add_parser("compare", help="compare the answers with those of `train predict`")
    command.add_argument("run", help="folder of a trained experiment, or a model file")
    command.add_argument("--data", required=True, help="folder with posters/<id>.jpg")
    command.add_argument("--cache", required=True, help="folder of their cache")
    command.add_argument("--keras", metavar="IN.keras", help="the model that RUN was made from, in place of RUN itself")
    command.add_argument("--posters", type=int, default=200, help="how many of them (default: 200)")
    command.add_argument("--train", default="target/release/train", help="the program")
    command.add_argument("--most", type=float, default=1e-5, help="the difference that is an error (default: 1e-5)")
    options = parser.parse_args()
    try:
        if options.command == "compare":
            return compare(options)
        if options.command == "to-keras":
            load(options.run)[0].save(options.out)
        else:
            genres = options.genres.split(",") if options.genres else None
            model = keras.models.load_model(options.model, compile=False)
            save(model, options.out, genres, options.head, options.like, options.experiment)
    except (Misfit, OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
