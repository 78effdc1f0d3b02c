#!/usr/bin/env python3
"""Predictions of an exported model in ONNX Runtime or OpenVINO: one JSON line for tools/compare.

    python onnx_predict.py --runtime onnxruntime --model model.onnx --batch 32 --steps 50 --threads 2
"""

import json

import harness
import numpy

parser = harness.parser("Predictions of an exported model.")
parser.add_argument("--runtime", choices=["onnxruntime", "openvino"], required=True)
parser.add_argument("--model", required=True, help="an export with --input pixels")
options = parser.parse_args()

if options.runtime == "onnxruntime":
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.model, settings, providers=["CPUExecutionProvider"])
    given, version = session.get_inputs()[0], f"ONNX Runtime {onnxruntime.__version__}"
    name, shape = given.name, given.shape[1:]

    def predict():
        return session.run(None, {name: images})[0]
else:
    import openvino

    # In f32 as the others: on some processors it would compute with 16 bits.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": options.threads, "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    model = core.read_model(options.model)
    name, shape = model.input(0).any_name, [axis.get_length() for axis in list(model.input(0).partial_shape)[1:]]
    # A fixed batch lets it choose its kernels.
    model.reshape({name: [options.batch, *shape]})
    compiled, version = core.compile_model(model, "CPU", settings), f"OpenVINO {openvino.__version__.split('-')[0]}"
    request = compiled.create_infer_request()

    def predict():
        return request.infer({name: images}, share_inputs=True)[0]

images = numpy.random.default_rng(1).integers(0, 256, (options.batch, *shape), numpy.uint8)
rate = harness.images_per_second(options, predict)
print(json.dumps({"predict_images_per_second": round(rate, 3), "version": version}))
