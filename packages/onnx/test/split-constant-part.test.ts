import { ndArray, zerosArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { printGraph, splitConstantPart, trace } from '../src/index.ts';

const large = zerosArray('float32', [64, 64]);
const x = { shape: [2, 64], dtype: 'float32' } as const;

describe('splitConstantPart', () => {
  it('computes what depends on large constants alone beforehand, and leaves the rest', () => {
    const graph = trace(
      ({ x, w, s }) => {
        const gram = tf.matMul(w as tf.Tensor2D, w as tf.Tensor2D, true);
        return { y: tf.mul(tf.add(tf.matMul(x as tf.Tensor2D, gram), tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D)), s as tf.Tensor) };
      },
      { inputs: { x }, constants: { w: large, s: ndArray('float32', [1], Float32Array.of(3)) } },
    );
    const { prologue, main, shared } = splitConstantPart(graph);
    expect(Object.keys(shared)).toEqual(['w']);
    expect(shared['w']).toBe(large);
    expect(prologue?.nodes.map(({ op }) => op)).toEqual(['Gemm']);
    expect(prologue?.inputs.map(({ hint }) => hint)).toEqual(['w']);
    const prepared = Object.keys(prologue?.outputs ?? {});
    expect(prepared).toHaveLength(1);
    expect(main.inputs.map(({ hint }) => hint)).toEqual(['x', ...prepared, 'w']);
    expect(main.nodes.map(({ op }) => op)).toEqual(['Gemm', 'Gemm', 'Add', 'Mul']);
    expect([...main.constants.values()].some((array) => array === large)).toBe(false);
    expect(printGraph(main)).toContain('prepared/');
  });

  it('has what a large constant meets beforehand, though small ones alone give it', () => {
    const small = ndArray(
      'float32',
      [64],
      Float32Array.from({ length: 64 }, (_, i) => i),
    );
    const graph = trace(
      ({ x, w, s }) => ({ y: tf.matMul(x as tf.Tensor2D, tf.mul(w as tf.Tensor2D, tf.sqrt(s as tf.Tensor)) as tf.Tensor2D) }),
      { inputs: { x }, constants: { w: large, s: small } },
    );
    const { prologue } = splitConstantPart(graph);
    expect(prologue?.nodes.map(({ op }) => op)).toEqual(['Sqrt', 'Mul']);
    expect(printGraph(prologue as NonNullable<typeof prologue>)).toContain('Mul(w, Sqrt_0)');
  });

  it('leaves a filter of a convolution, and what it is computed of, a constant', () => {
    const graph = trace(({ x, w }) => ({ y: tf.conv2d(x as tf.Tensor4D, tf.mul(w as tf.Tensor4D, 2), 1, 'same') }), {
      inputs: { x: { shape: [1, 32, 32, 16], dtype: 'float32' } },
      constants: { w: zerosArray('float32', [3, 3, 16, 32]) },
    });
    const { prologue, main, shared } = splitConstantPart(graph);
    expect(prologue).toBeUndefined();
    expect(shared).toEqual({});
    expect(main.nodes).toEqual(graph.nodes);
  });

  it('leaves a graph without large constants as it is', () => {
    const graph = trace(({ x }) => ({ y: tf.add(x as tf.Tensor, 1) }), { inputs: { x } });
    expect(splitConstantPart(graph)).toEqual({ prologue: undefined, main: graph, shared: {} });
  });

  it('takes a constant in another shape for the same memory', () => {
    const graph = trace(
      ({ x, w }) => {
        const shaped = tf.reshape(w as tf.Tensor, [64, 8, 8]);
        return { y: tf.matMul(x as tf.Tensor2D, tf.reshape(shaped, [64, 64])), w: tf.reshape(w as tf.Tensor, [32, 128]) };
      },
      { inputs: { x }, constants: { w: large } },
    );
    const { prologue, main, shared } = splitConstantPart(graph);
    expect(prologue).toBeUndefined();
    const arrays = Object.values(shared);
    expect(arrays.map(({ shape }) => shape)).toContainEqual([64, 64]);
    for (const { data } of arrays) expect(data).toBe(large.data);
    // an output is a result of its own
    expect(main.nodes.map(({ op }) => op).toSorted()).toEqual(['Gemm', 'Reshape']);
  });

  it('gives an output that no input reaches', () => {
    const graph = trace(({ w }) => ({ y: tf.mul(w as tf.Tensor, 2) }), { inputs: { x }, constants: { w: large } });
    const { main } = splitConstantPart(graph);
    expect(main.nodes.map(({ op }) => op)).toEqual(['Mul']);
    expect(main.inputs.map(({ hint }) => hint)).toEqual(['x', 'w']);
  });
});
