/** Padding with what lies inside, mirrored at the border. ONNX has the mode that leaves the border out, not the one that repeats it: both are gathered. */
import { ndArray } from '@coda-nets/core';
import { int } from '../graph.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, type TracedArray } from '../traced-array.ts';

kernel<{ x: TracedArray }, { paddings: [number, number][]; mode: 'reflect' | 'symmetric' }>(
  'MirrorPad',
  ({ x }, { attrs: { paddings, mode }, layouts, builder }) => {
    const repeated = mode === 'symmetric' ? 1 : 0;
    let value = layouts.dense(x, x.order);
    for (const [axis, [before, after]] of paddings.entries()) {
      if (before + after === 0) continue;
      const size = x.shape[axis] as number;
      const indices = Int32Array.from({ length: before + size + after }, (_, i) => {
        const place = i - before;
        if (place < 0) return -place - repeated;
        return place < size ? place : 2 * (size - 1) - place + repeated;
      });
      const position = x.order.indexOf(axis);
      const shape = value.shape.map((d, p) => (p === position ? indices.length : d));
      const where = builder.constant(ndArray('int32', [indices.length], indices));
      value = builder.emit('Gather', [value, where], dtypeOf(x), shape, { axis: int(position) });
    }
    return { value, shape: x.shape.map((d, axis) => d + (paddings[axis]?.[0] ?? 0) + (paddings[axis]?.[1] ?? 0)), order: x.order };
  },
);
