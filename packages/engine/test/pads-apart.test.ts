/**
 * ONNX Runtime takes zeros that a node puts around an image for the padding of the max pool that reads them, where padding counts as −∞. Graphs are encoded so that it
 * cannot: those that passes made as well as those that were traced, so these are made by hand.
 */
import { ndArray } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { encodeModel, opsets, type Graph, type Node, type Value } from '@coda-nets/onnx';
import { expect, it } from 'vitest';

const float = (...shape: number[]): Value => ({ dtype: 'float32', shape });
const ints = (...values: number[]) => ({ ints: values });

/** Zeros around [1, 1, 2, 2], what `between` makes of it, and the largest of each window of 3×3. */
function padded(between: (x: Value) => readonly Node[]): Graph {
  const image: Value = { ...float(1, 1, 2, 2), hint: 'image' };
  const pads: Value = { dtype: 'int64', shape: [8] };
  const around = float(1, 1, 4, 4);
  const moved = between(around);
  const y = float(1, 1, 2, 2);
  const pool: Node = {
    op: 'MaxPool',
    inputs: [moved.at(-1)?.output ?? around],
    output: y,
    attributes: { kernel_shape: ints(3, 3), strides: ints(1, 1), pads: ints(0, 0, 0, 0) },
  };
  const pad: Node = { op: 'Pad', inputs: [image, pads], output: around, attributes: {} };
  const counts = ndArray('int64', [8], BigInt64Array.from([0, 0, 1, 1, 0, 0, 1, 1], BigInt));
  return { inputs: [image], outputs: { y }, constants: new Map([[pads, counts]]), nodes: [pad, ...moved, pool] };
}

const transpose = (x: Value, y: Value): Node => ({ op: 'Transpose', inputs: [x], output: y, attributes: { perm: ints(0, 1, 3, 2) } });
const cases: Readonly<Record<string, (x: Value) => readonly Node[]>> = {
  'at once': () => [],
  'after a copy': (x) => [{ op: 'Identity', inputs: [x], output: float(1, 1, 4, 4), attributes: {} }],
  'after two transposes that cancel': (x) => {
    const turned = float(1, 1, 4, 4);
    return [transpose(x, turned), transpose(turned, float(1, 1, 4, 4))];
  },
};

it.each(opsets.flatMap((opset) => Object.entries(cases).map(([name, between]) => [name, opset, between] as const)))(
  'zeros around an image of negative numbers are the largest, %s, at opset %i',
  async (_, opset, between) => {
    const file = await openOnnx(encodeModel(padded(between), { opset }), 'padded.onnx', { threads: 1 });
    const image = ndArray('float32', [1, 1, 2, 2], Float32Array.of(-1, -2, -3, -4));
    expect((await file.run({ image }))['y']?.data).toEqual(Float32Array.of(0, 0, 0, 0));
    await file.dispose();
  },
);
