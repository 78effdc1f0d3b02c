#!/usr/bin/env python3
"""Predictions of an exported model in ONNX Runtime or OpenVINO: one JSON line for tools/compare.

    python onnx_predict.py --runtime onnxruntime --model model.onnx --batch 32 --steps 50 --threads 2
    python onnx_predict.py --runtime openvino --precision bf16 --hint throughput --model model.onnx

A step is one batch; with the hint for throughput, as many batches at once as OpenVINO says it wants.
"""

import json
import sys

import harness
import numpy

parser = harness.parser("Predictions of an exported model.")
parser.add_argument("--runtime", choices=["onnxruntime", "openvino"], required=True)
parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of OpenVINO; default: %(default)s")
parser.add_argument("--hint", choices=["latency", "throughput"], default="latency", help="for OpenVINO; default: %(default)s")
parser.add_argument("--model", required=True, help="an export with --input pixels")
options = parser.parse_args()

at_once = 1
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

    # Unasked it would choose 16 bits on some processors.
    settings = {"INFERENCE_PRECISION_HINT": options.precision, "INFERENCE_NUM_THREADS": options.threads,
                "PERFORMANCE_HINT": options.hint.upper()}
    core = openvino.Core()
    model = core.read_model(options.model)
    name, shape = model.input(0).any_name, [axis.get_length() for axis in list(model.input(0).partial_shape)[1:]]
    # A fixed batch lets it choose its kernels.
    model.reshape({name: [options.batch, *shape]})
    compiled, version = core.compile_model(model, "CPU", settings), f"OpenVINO {openvino.__version__.split('-')[0]}"
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if precision != options.precision:
        sys.exit(f"OpenVINO computes with {precision} here, not {options.precision}")
    if options.hint == "latency":
        request = compiled.create_infer_request()

        def predict():
            return request.infer({name: images}, share_inputs=True)[0]
    else:
        at_once = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        requests = openvino.AsyncInferQueue(compiled, at_once)

        def predict():
            for _ in range(at_once):
                requests.start_async({name: images}, share_inputs=True)
            requests.wait_all()

images = numpy.random.default_rng(1).integers(0, 256, (options.batch, *shape), numpy.uint8)
rate = at_once * harness.images_per_second(options, predict)
print(json.dumps({"predict_images_per_second": round(rate, 3), "version": version}))
