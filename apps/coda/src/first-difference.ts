/**
 * Where a file and its model part: the first tap, in the order in which the file computes, whose activation is not the model's. Taps keep their names in the
 * file (`export-network.ts`), and eager TensorFlow.js knows nothing of its graph: a tap that agrees clears all before it that it depends on.
 */
import { inferenceContext, recordTaps, type Engine, type NamedTensors, type NdArray } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { withOutputs, type ArrayInfo } from '@coda-nets/onnx';
import * as tf from '@tensorflow/tfjs-core';
import { difference } from './difference.ts';
import { imageBatch } from './image-batch.ts';
import type { OpenModel } from './open-model.ts';

export interface FirstDifference {
  readonly tap: string;
  readonly deviation: number;
  /** The tap before it in the file, which agrees; undefined where `tap` is the first. */
  readonly agrees: string | undefined;
  /** The file's values from behind `agrees` to `tap`, in its order: one of them is the culprit. */
  readonly between: readonly string[];
}

/** Undefined where every tap that the file names agrees: it parts from the model above the last, or on the way back to a map. */
export async function firstDifference(
  bytes: Uint8Array,
  where: string,
  { network, model }: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
  tolerance: number,
): Promise<FirstDifference | undefined> {
  const taps = new Set(network.taps.map(({ name }) => name).filter((name) => name !== 'input'));
  const probe = withOutputs(bytes, taps);
  const file = await openOnnx(probe.bytes, where);
  try {
    const image = file.inputs.find(({ name }) => name === 'image') as ArrayInfo;
    const one = {
      ...images,
      shape: [1, ...images.shape.slice(1)],
      data: images.data.slice(0, images.data.length / (images.shape[0] as number)),
    };
    const target: NdArray = { dtype: 'int64', shape: [1], data: BigInt64Array.of(-1n) };
    const withTarget = file.inputs.some(({ name }) => name === 'target');
    const got = await file.run({ image: imageBatch(one, [0], image), ...(withTarget && { target }) });
    const expected = await activationsAt(reference, network, model, one);
    let agrees: string | undefined;
    for (const tap of probe.computed.filter((name) => taps.has(name))) {
      // another value that happens to have the name
      if (got[tap]?.data.length !== expected[tap]?.data.length) continue;
      const deviation = activationDifference(got[tap] as NdArray<'float32'>, expected[tap] as NdArray<'float32'>);
      if (deviation > tolerance) {
        const from = agrees === undefined ? 0 : probe.computed.indexOf(agrees) + 1;
        return { tap, deviation, agrees, between: probe.computed.slice(from, probe.computed.indexOf(tap) + 1) };
      }
      agrees = tap;
    }
    return undefined;
  } finally {
    await file.dispose();
  }
}

/** By tap. */
export async function activationsAt(
  engine: Engine,
  network: OpenModel['network'],
  model: OpenModel['model'],
  images: NdArray<'float32'>,
): Promise<Readonly<Record<string, NdArray>>> {
  const constants = Object.fromEntries(Object.entries(model.weights).map(([name, array]) => [`weight:${name}`, array]));
  const compiled = await engine.compile(
    (tensors) => {
      const weights = Object.fromEntries(Object.keys(model.weights).map((name) => [name, tensors[`weight:${name}`] as tf.Tensor]));
      const { context, activations } = recordTaps(inferenceContext);
      network.forward(weights, tensors['image'] as tf.Tensor4D, context);
      return Object.fromEntries(Object.entries(activations).map(([name, x]) => [name, tf.clone(x)])) satisfies NamedTensors;
    },
    { inputs: { image: { shape: images.shape, dtype: 'float32' } }, constants },
  );
  try {
    return await compiled.run({ image: images });
  } finally {
    await compiled.dispose();
  }
}

/** The model's [1, h, w, C] against the file's, which may lie in [1, C, h, w]; relative to the largest activation where that is above 1. */
function activationDifference(file: NdArray<'float32'>, model: NdArray<'float32'>): number {
  const scale = model.data.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  const [, h, w, c] = model.shape as [number, number, number, number];
  const first = Float32Array.from(model.data, (_, i) => model.data[(i % (h * w)) * c + Math.floor(i / (h * w))] as number);
  return Math.min(difference(file.data, model.data), difference(file.data, first)) / scale;
}
