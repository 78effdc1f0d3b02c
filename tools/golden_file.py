"""The files of the goldens: what tools/golden.py and tools/golden_torch.py write with."""

import json
import struct

import numpy as np


def write_safetensors(path, tensors, key, value):
    """The safetensors format: u64 header length, JSON header, data; wide types first, so that all are aligned."""
    kinds = {"float64": "F64", "float32": "F32", "uint8": "U8"}
    header, data, offset = {"__metadata__": {key: json.dumps(value, sort_keys=True)}}, [], 0
    for name, t in sorted(tensors.items(), key=lambda nt: (-nt[1].itemsize, nt[0])):
        raw = np.ascontiguousarray(t).tobytes()
        header[name] = {"dtype": kinds[t.dtype.name], "shape": list(t.shape), "data_offsets": [offset, offset + len(raw)]}
        data.append(raw)
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    print(f"{path}: {path.stat().st_size} bytes")
