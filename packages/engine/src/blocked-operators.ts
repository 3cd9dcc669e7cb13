/** Whether ONNX Runtime on this machine has the blocked operators of `@coda-nets/onnx`, found by running one. */
import { encodeModel, type Graph, type Value } from '@coda-nets/onnx';
import type { InferenceSession } from 'onnxruntime-node';
import type { OnnxRuntime } from './load-onnx-runtime.ts';

/** More than any block has: 16 is the largest. */
const CHANNELS = 64;
const DOMAIN = 'com.microsoft.nchwc';

/**
 * Channels in a block (8 with AVX2, 16 with AVX-512), or undefined where the operators are missing or do not do what is expected of them. They are internal
 * to ONNX Runtime, so nothing is taken for granted: the probe rearranges two positions of 64 channels, reads off how they lie, and convolves them.
 */
export async function blockOf(ort: OnnxRuntime, options: InferenceSession.SessionOptions): Promise<number | undefined> {
  const shape = [1, CHANNELS, 1, 2];
  const image: Value = { dtype: 'float32', shape, hint: 'image' };
  const filter: Value = { dtype: 'float32', shape: [CHANNELS, 1, 1, 1], hint: 'filter' };
  const blocked: Value = { dtype: 'float32', shape };
  const doubled: Value = { dtype: 'float32', shape };
  const graph: Graph = {
    inputs: [image, filter],
    outputs: { blocked, doubled },
    constants: new Map(),
    nodes: [
      { op: 'ReorderInput', domain: DOMAIN, inputs: [image], output: blocked, attributes: {} },
      { op: 'Conv', domain: DOMAIN, inputs: [blocked, filter], output: doubled, attributes: { group: { int: CHANNELS } } },
    ],
  };
  let session: InferenceSession | undefined;
  try {
    session = await ort.InferenceSession.create(encodeModel(graph), options);
    const numbers = Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i);
    const results = await session.run({
      image: new ort.Tensor('float32', numbers, shape),
      filter: new ort.Tensor('float32', new Float32Array(CHANNELS).fill(2), [CHANNELS, 1, 1, 1]),
    });
    const lying = results['blocked']?.data as Float32Array;
    // channel c of position p is number 2c + p; the first of position 1 comes after the first block of position 0
    const block = lying.indexOf(1);
    const expected = numbers.map((_, i) => {
      const [within, position, before] = [i % block, Math.floor(i / block) % 2, Math.floor(i / (2 * block))];
      return 2 * (before * block + within) + position;
    });
    const same = (a: Float32Array, b: Float32Array): boolean => a.every((x, i) => x === b[i]);
    const right =
      same(lying, expected) &&
      same(
        results['doubled']?.data as Float32Array,
        expected.map((x) => 2 * x),
      );
    return block > 1 && right ? block : undefined;
  } catch {
    // a version or a machine without them
    return undefined;
  } finally {
    await session?.release();
  }
}
