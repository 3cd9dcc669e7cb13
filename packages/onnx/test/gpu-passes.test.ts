/** What a graph for a GPU looks like. Numbers: packages/engine/test/gpu-passes.test.ts. */
import { gpuPasses, printGraph, runPasses, trace, type Graph, type Pass } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { ndArray, sizeOf, type NdArray } from '@coda-nets/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../src/graph-builder.ts';

beforeAll(() => useBackend('cpu'));

const passOf = (name: string): Pass => gpuPasses.find((pass) => pass.name === name) as Pass;
const after = (name: string, graph: Graph): string[] =>
  printGraph(runPasses(graph, [passOf(name)]))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('constant'));
const float = (...shape: number[]) => ({ shape, dtype: 'float32' as const });
const zeros = (...shape: number[]): NdArray => ndArray('float32', shape, new Float32Array(sizeOf(shape)));

describe('passes for a GPU', () => {
  it('add in pairs: a tree, of terms of any shapes', () => {
    const graph = trace(({ a, b, c, d, e }) => ({ y: tf.addN([a, b, c, d, e] as tf.Tensor[]) }), {
      inputs: Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [name, float(2, 3)])),
    });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Sum']);
    expect(after('add in pairs', graph)).toEqual([
      'graph(a: float32[2, 3], b: float32[2, 3], c: float32[2, 3], d: float32[2, 3], e: float32[2, 3])',
      'Add_0: float32[2, 3] = Add(a, b)',
      'Add_1: float32[2, 3] = Add(c, d)',
      'Add_2: float32[2, 3] = Add(Add_0, Add_1)',
      'y: float32[2, 3] = Add(Add_2, e)',
      'return y',
    ]);
  });

  it('reduce in two: positions, then images; what is small or over other axes stays', () => {
    const graph = trace(
      ({ x, small }) => {
        const images = x as tf.Tensor4D;
        return {
          sum: tf.sum(images, [0, 2, 3]),
          mean: tf.mean(images, [0, 2, 3], true),
          inner: tf.sum(images, [2, 3]),
          all: tf.sum(images),
          few: tf.sum(small as tf.Tensor, [0, 2]),
        };
      },
      { inputs: { x: float(8, 4, 32, 32), small: float(8, 4, 32) } },
    );
    expect(after('reduce in two', graph)).toEqual([
      'graph(x: float32[8, 4, 32, 32], small: float32[8, 4, 32])',
      'ReduceSum_0: float32[8, 4] = ReduceSum(x, constant_4, keepdims=0)',
      'sum: float32[4] = ReduceSum(ReduceSum_0, constant_5, keepdims=0)',
      'ReduceMean_0: float32[8, 4, 1, 1] = ReduceMean(x, axes=[2, 3], keepdims=1)',
      'mean: float32[1, 4, 1, 1] = ReduceMean(ReduceMean_0, axes=[0], keepdims=1)',
      'inner: float32[8, 4] = ReduceSum(x, constant_1, keepdims=0)',
      'all: float32[] = ReduceSum(x, constant_2, keepdims=0)',
      'few: float32[4] = ReduceSum(small, constant_3, keepdims=0)',
      'return sum, mean, inner, all, few',
    ]);
  });

  it('join updates: momentum of three weights at once, and what others read by itself', () => {
    const names = ['a', 'b', 'c'];
    const graph = trace(
      ({ x, μ, ...carried }) => {
        const moved = names.map((name) => {
          const gradient = tf.mul(carried[name] as tf.Tensor, tf.sum(x as tf.Tensor));
          return [`${name}#m`, tf.add(tf.mul(carried[`${name}#m`] as tf.Tensor, μ as tf.Tensor), tf.relu(gradient))] as const;
        });
        const weights = names.map((name, i) => [name, tf.sub(carried[name] as tf.Tensor, moved[i]?.[1] as tf.Tensor)] as const);
        return { ...Object.fromEntries(moved), ...Object.fromEntries(weights) };
      },
      {
        inputs: { x: float(2), μ: float() },
        carried: Object.fromEntries(
          names.flatMap((name, i) => [name, `${name}#m`].map((key) => [key, i === 2 ? zeros(2, 2) : zeros(3 + i)])),
        ),
      },
    );
    const ops = graph.nodes.map(({ op }) => op);
    expect(ops.filter((op) => op === 'Add')).toHaveLength(3);
    const lines = after('join updates', graph);
    expect(lines).toMatchInlineSnapshot(`
      [
        "graph(x: float32[2], μ: float32[], a: float32[3], a#m: float32[3], b: float32[4], b#m: float32[4], c: float32[2, 2], c#m: float32[2, 2])",
        "ReduceSum_0: float32[] = ReduceSum(x, constant_0, keepdims=0)",
        "Mul_0: float32[3] = Mul(a, ReduceSum_0)",
        "Relu_0: float32[3] = Relu(Mul_0)",
        "Mul_1: float32[4] = Mul(b, ReduceSum_0)",
        "Relu_1: float32[4] = Relu(Mul_1)",
        "Mul_2: float32[2, 2] = Mul(c, ReduceSum_0)",
        "Relu_2: float32[2, 2] = Relu(Mul_2)",
        "Reshape_0: float32[4] = Reshape(c#m, constant_1)",
        "Concat_0: float32[11] = Concat(a#m, b#m, Reshape_0, axis=0)",
        "Reshape_1: float32[4] = Reshape(Relu_2, constant_2)",
        "Concat_1: float32[11] = Concat(Relu_0, Relu_1, Reshape_1, axis=0)",
        "Reshape_2: float32[4] = Reshape(c, constant_3)",
        "Concat_2: float32[11] = Concat(a, b, Reshape_2, axis=0)",
        "Mul_3: float32[11] = Mul(Concat_0, μ)",
        "Add_0: float32[11] = Add(Mul_3, Concat_1)",
        "Sub_0: float32[11] = Sub(Concat_2, Add_0)",
        "next/a#m: float32[3] = Split(Add_0, constant_4, axis=0)",
        "next/b#m: float32[4] = Split(Add_0, constant_4, axis=0), output 1",
        "Split_0: float32[4] = Split(Add_0, constant_4, axis=0), output 2",
        "next/c#m: float32[2, 2] = Reshape(Split_0, constant_5)",
        "next/a: float32[3] = Split(Sub_0, constant_4, axis=0)",
        "next/b: float32[4] = Split(Sub_0, constant_4, axis=0), output 1",
        "Split_1: float32[4] = Split(Sub_0, constant_4, axis=0), output 2",
        "next/c: float32[2, 2] = Reshape(Split_1, constant_6)",
        "return next/a#m, next/b#m, next/c#m, next/a, next/b, next/c",
      ]
    `);
  });

  it.each<[string, number[], number[]]>([
    ['a scalar of rank 2, which would give joined arrays its rank', [4, 3], [1, 1]],
    ['arrays of no elements', [4, 0], []],
  ])('join updates leaves alone %s', (_, shape, scalar) => {
    const builder = new GraphBuilder();
    const s = builder.input('s', 'float32', scalar);
    const product = (value: typeof s) => builder.emit('Mul', [value, s], 'float32', shape);
    const outputs = ['a', 'b', 'c', 'd', 'e'].map((name) => [`${name}'`, product(product(builder.input(name, 'float32', shape)))] as const);
    const graph = builder.finish(Object.fromEntries(outputs));
    expect(runPasses(graph, [passOf('join updates')]).nodes).toEqual(graph.nodes);
  });

  it('join updates leaves alone what is done once, what differs, and what something else reads', () => {
    const graph = trace(
      ({ a, b, c }) => {
        const [x, y, z] = [a, b, c] as [tf.Tensor, tf.Tensor, tf.Tensor];
        const read = tf.add(z, 1);
        return { once: tf.sqrt(tf.add(x, x)), other: tf.square(y), read, sum: tf.sum(read) };
      },
      { inputs: { a: float(4), b: float(5), c: float(6) } },
    );
    expect(after('join updates', graph)).toEqual(after('add in pairs', graph));
  });
});
