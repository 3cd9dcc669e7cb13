"""Golden records of an event file, written by TensorBoard's own code.

    python tools/goldens/event_files.py     # needs: pip install tensorboard

Writes packages/train/test/golden/event-file.json: records as base64, in the order of the contents in packages/train/test/event-file.test.ts.
"""
import base64
import json
import pathlib
import struct
import sys

import tensorboard
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

WALL_TIME = 1700000000.25
PNG = bytes(range(1, 9))


def text_value():
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    tensor = tensor_pb2.TensorProto(dtype=7, tensor_shape=shape, string_val=["λ = ½".encode()])
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    return summary_pb2.Summary.Value(tag="config", tensor=tensor, metadata=summary_pb2.SummaryMetadata(plugin_data=plugin))


def events():
    value = summary_pb2.Summary.Value
    image = summary_pb2.Summary.Image(height=300, width=2, colorspace=4, encoded_image_string=PNG)
    yield dict(step=0, file_version="brain.Event:2")
    yield dict(step=301, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    scalars = [value(tag="step/loss", simple_value=0.1), value(tag="step/learningRate", simple_value=-2.5e-4)]
    yield dict(step=2**40, summary=summary_pb2.Summary(value=scalars))
    yield dict(step=7, summary=summary_pb2.Summary(value=[value(tag="maps/0", image=image)]))
    yield dict(step=0, summary=summary_pb2.Summary(value=[text_value()]))


def record(event):
    data = event_pb2.Event(wall_time=WALL_TIME, **event).SerializeToString(deterministic=True)
    length = struct.pack("<Q", len(data))
    crc = lambda part: struct.pack("<I", masked_crc32c(part))
    return length + crc(length) + data + crc(data)


golden = {
    "generator": "tools/goldens/event_files.py",
    "tensorboard": tensorboard.__version__,
    "python": sys.version.split()[0],
    "wallTime": WALL_TIME,
    "records": [base64.b64encode(record(event)).decode() for event in events()],
}
path = pathlib.Path(__file__).parents[2] / "packages/train/test/golden/event-file.json"
path.write_text(json.dumps(golden, indent=2) + "\n")
print(f"{path}: {len(golden['records'])} records")
