"""What TensorBoard itself sees in a run folder, as JSON: scalars by tag as [step, value], images as [step, width, height], texts."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, IMAGES, SCALARS, TENSORS

run = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0, IMAGES: 0, TENSORS: 0})
run.Reload()
tags = run.Tags()
print(
    json.dumps(
        {
            "scalars": {tag: [[e.step, e.value] for e in run.Scalars(tag)] for tag in tags["scalars"]},
            "images": {tag: [[e.step, e.width, e.height] for e in run.Images(tag)] for tag in tags["images"]},
            "texts": {tag: [e.tensor_proto.string_val[0].decode() for e in run.Tensors(tag)] for tag in tags["tensors"]},
        }
    )
)
