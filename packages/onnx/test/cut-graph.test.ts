/** Where a graph is cut, and what each stage holds. That the stages compute what the graph does: packages/engine/test/stages.test.ts. */
import { meanOverRanks, ndArray, type NamedTensors, type Signature } from '@coda-nets/core';
import { cutGraph, trace, type Graph } from '@coda-nets/onnx';
import { randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

type Work = (tensors: NamedTensors, cut: (x: tf.Tensor, name: string) => tf.Tensor) => NamedTensors;

const float = { shape: [3, 4], dtype: 'float32' as const };
const w = ndArray('float32', [20, 20], randomValues(400, 3));
const signature: Signature = { inputs: { a: float, b: float }, constants: { w } };

describe('cutGraph', () => {
  const graph = (work: Work): Graph => trace((t) => work(t, meanOverRanks), signature);
  const operators = (work: Work, early?: Parameters<typeof cutGraph>[1]): string[] =>
    cutGraph(graph(work), early).stages.map(({ graph: { nodes }, crossings }) =>
      [...nodes.map(({ op }) => op), ...crossings.map(({ name }) => `→ ${name}`)].join(' '),
    );

  it('leaves every node in the first stage that reads it, and has a stage for each level', () => {
    const work: Work = ({ a, b }, cut) => {
      const early = tf.tanh(a as tf.Tensor);
      // needs no crossing, and is read after one
      const late = tf.exp(b as tf.Tensor);
      return { y: tf.add(cut(tf.neg(early), 'one'), tf.mul(late, early)), z: tf.sqrt(tf.abs(early)) };
    };
    expect(operators(work)).toEqual(['Tanh Neg Abs Sqrt → one', 'Exp Mul Add']);
    expect(operators(work, [['z']])).toEqual(['Tanh Neg → one', 'Abs Sqrt', 'Exp Mul Add']);
  });

  it('shares a large constant that several stages read, and leaves one that one stage reads where it is', () => {
    const work =
      (both: boolean): Work =>
      ({ a, w }, cut) => {
        const crossed = cut(tf.add(a as tf.Tensor, tf.mean(w as tf.Tensor)), 'one');
        return { y: both ? tf.add(crossed, tf.max(w as tf.Tensor)) : crossed };
      };
    const sharedBy = (both: boolean) => Object.values(cutGraph(graph(work(both))).shared).map(({ data }) => data);
    expect(sharedBy(false)).toEqual([]);
    const [data, ...more] = sharedBy(true);
    expect(data).toBe(w.data);
    expect(more).toEqual([]);
  });

  it('refuses to record a mean of whole numbers', () => {
    expect(() => graph(({ a }, cut) => ({ y: cut(tf.cast(a as tf.Tensor, 'int32'), 'a') }))).toThrow(
      /^trace: MeanOverRanks: a mean over ranks is of real numbers; expected float32, got int32 \[3, 4\]/,
    );
  });
});
