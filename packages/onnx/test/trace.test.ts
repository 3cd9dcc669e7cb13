/** Traced graphs as text, and what a trace refuses. Whether the numbers are right is tested in packages/engine, against eager tfjs. */
import { ndArray, zerosArray, type Signature, type TensorFunction } from '@coda-nets/core';
import { printGraph, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

const float = (...shape: (number | string)[]) => ({ shape, dtype: 'float32' as const });
const text = (fn: TensorFunction, signature: Signature): string => printGraph(trace(fn, signature));
const operators = (fn: TensorFunction, signature: Signature): string[] => trace(fn, signature).nodes.map(({ op }) => op);
const as4d = (t: tf.Tensor | undefined) => t as tf.Tensor4D;

describe('trace', () => {
  it('records a function as a graph that reads as text', () => {
    const graph = text(({ x, w }) => ({ y: tf.relu(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D)) }), {
      inputs: { x: float('batch', 3) },
      constants: { w: zerosArray('float32', [3, 2]) },
    });
    expect(graph).toBe(
      [
        'graph(x: float32[batch, 3])',
        '  constant w: float32[3, 2]',
        '  Gemm_0: float32[batch, 2] = Gemm(x, w, transA=0, transB=0)',
        '  y: float32[batch, 2] = Relu(Gemm_0)',
        '  return y',
      ].join('\n'),
    );
  });

  it('makes a product of a wide filter over a small map, but of a constant filter a convolution, which runtimes fuse with its neighbours', () => {
    const filter = zerosArray('float32', [3, 3, 8, 256]);
    const net: TensorFunction = ({ x, w }) => ({ y: tf.relu(tf.conv2d(as4d(x), as4d(w), 1, 1)) });
    expect(operators(net, { inputs: { x: float('batch', 7, 7, 8) }, constants: { w: filter } })).toEqual([
      'Transpose',
      'Transpose',
      'Conv',
      'Relu',
      'Transpose',
    ]);
    const trained = operators(net, { inputs: { x: float('batch', 7, 7, 8), w: float(3, 3, 8, 256) } });
    expect(trained).toContain('Gemm');
    expect(trained).not.toContain('Conv');
  });

  it('leaves activations where convolutions want them: no transpose between two of them and their gradients', () => {
    const filters = { v: zerosArray('float32', [3, 3, 4, 4]), w: zerosArray('float32', [3, 3, 4, 4]), c: zerosArray('float32', [4]) };
    const net = (x: tf.Tensor, v: tf.Tensor, w: tf.Tensor, c: tf.Tensor): tf.Scalar => {
      const first = tf.relu(tf.add(tf.conv2d(as4d(x), as4d(v), 1, 'same'), c));
      return tf.sum(tf.square(tf.mean(tf.mul(tf.conv2d(as4d(first), as4d(w), 1, 'same'), c), [1, 2])));
    };
    const graph = trace(
      ({ x, v, w, c }) => {
        const grads = tf.grads((a, b) => net(x as tf.Tensor, a as tf.Tensor, b as tf.Tensor, c as tf.Tensor))([
          v as tf.Tensor,
          w as tf.Tensor,
        ]);
        return { dv: grads[0] as tf.Tensor, dw: grads[1] as tf.Tensor };
      },
      { inputs: { x: float(2, 6, 6, 4) }, constants: filters },
    );
    const activation = 2 * 6 * 6 * 4;
    const large = graph.nodes.filter(
      ({ op, output, inputs }) =>
        op === 'Transpose' &&
        inputs[0] !== graph.inputs[0] &&
        output.shape.length === 4 &&
        output.shape.reduce((a: number, b) => a * Number(b), 1) >= activation,
    );
    expect(large.map(({ output }) => output.shape)).toEqual([]);
  });

  it('shares what is computed twice and drops what nobody reads', () => {
    const ops = operators(
      ({ x }) => {
        tf.exp(x as tf.Tensor);
        return { y: tf.add(tf.sqrt(x as tf.Tensor), tf.sqrt(x as tf.Tensor)) };
      },
      { inputs: { x: float(4) } },
    );
    expect(ops).toEqual(['Sqrt', 'Add']);
  });

  it('spends no node on ones, zeros and axes of size one', () => {
    const ops = operators(
      ({ x }) => {
        const gradient = tf.grad((a) => tf.sum(tf.mean(a, [1, 2])))(x as tf.Tensor);
        return { y: tf.mul(gradient, x as tf.Tensor) };
      },
      { inputs: { x: float(2, 4, 4, 3) } },
    );
    expect(ops).toEqual(['Mul']);
  });

  it('gives an output a value of its own', () => {
    const graph = text(({ x }) => ({ a: x as tf.Tensor, b: tf.neg(x as tf.Tensor), c: tf.neg(x as tf.Tensor) }), {
      inputs: { x: float(2) },
    });
    expect(graph).toContain('a: float32[2] = Identity(x)');
    expect(graph).toContain('c: float32[2] = Identity(b)');
  });

  it('hands carried values to the next call under a name of their own', () => {
    const carried = { w: ndArray('float32', [2], Float32Array.of(1, 2)) };
    const graph = text(({ x, w }) => ({ w: tf.add(w as tf.Tensor, x as tf.Tensor) }), { inputs: { x: float(2) }, carried });
    expect(graph).toContain('next/w: float32[2] = Add(w, x)');
  });

  it('reads constants and hands on carried values of other integers as TensorFlow.js sees them, and as they were', () => {
    const graph = trace(({ a, b, n }) => ({ n: tf.add(n as tf.Tensor, tf.add(a as tf.Tensor, b as tf.Tensor)) }), {
      inputs: {},
      constants: { a: ndArray('int64', [2], BigInt64Array.of(1n, -2n)), b: ndArray('uint8', [2], Uint8Array.of(3, 255)) },
      carried: { n: ndArray('int64', [2], BigInt64Array.of(0n, 0n)) },
    });
    expect(printGraph(graph).split('\n').slice(0, 3)).toEqual(['graph(n: int64[2])', '  constant a: int32[2]', '  constant b: int32[2]']);
    expect(printGraph(graph)).toContain('next/n: int64[2] = Cast(');
    expect([...graph.constants.values()].map(({ data }) => [...(data as Int32Array)])).toEqual([
      [1, -2],
      [3, 255],
    ]);
    const half = trace(({ c }) => ({ y: tf.neg(c as tf.Tensor) }), {
      inputs: {},
      constants: { c: ndArray('float64', [1], Float64Array.of(0.5)) },
    });
    expect(printGraph(half)).toContain('constant c: float32[1]');
  });

  it('keeps the batch open through reshapes, slices and matrix products', () => {
    const graph = text(
      ({ x }) => {
        const flat = tf.reshape(x as tf.Tensor, [(x as tf.Tensor).shape[0] * 4, 3]);
        return { y: tf.slice(tf.matMul(flat as tf.Tensor2D, tf.ones([3, 2]) as tf.Tensor2D), [0, 1], [-1, 1]) };
      },
      { inputs: { x: float('batch', 4, 3) } },
    );
    expect(graph).toContain('y: float32[4*batch, 1]');
  });

  it('computes sizes when the graph runs where nothing shorter says them', () => {
    const graph = text(
      ({ x }) => ({ y: tf.slice(tf.concat([x as tf.Tensor, x as tf.Tensor], 0), [0, 0], [(x as tf.Tensor).shape[0] as number, 2]) }),
      {
        inputs: { x: float('batch', 2) },
      },
    );
    expect(graph).toContain('Shape_0: int64[1] = Shape(x, start=0, end=1)');
    expect(graph).toMatch(/y: float32\[batch, 2\] = Slice\(Concat_0, /);
  });

  it('hands out values that depend on no input', () => {
    const graph = text(
      ({ x }) => {
        const [size] = tf.slice(tf.stack([tf.tensor1d([4, 6], 'int32'), tf.tensor1d([1, 2], 'int32')]), [0, 1], [1, 1]).dataSync();
        return { y: tf.reshape(x as tf.Tensor, [-1, size as number]) };
      },
      { inputs: { x: float('batch', 2, 3) } },
    );
    expect(graph).toContain('y: float32[batch, 6] = Reshape(x, constant_0)');
  });

  it('gives constants that a function closes over the names it is told', () => {
    const bias = tf.zeros([3]);
    const graph = printGraph(
      trace(({ x }) => ({ y: tf.add(x as tf.Tensor, bias) }), { inputs: { x: float(3) } }, { names: new Map([[bias, 'net/bias']]) }),
    );
    expect(graph).toContain('constant net/bias: float32[3]');
    bias.dispose();
  });

  it('returns the tensors that a function closes over to where they were', async () => {
    const before = tf.getBackend();
    const outside = tf.tensor1d([1, 2, 3]);
    trace(({ x }) => ({ y: tf.mul(x as tf.Tensor, outside) }), { inputs: { x: float(3) } });
    expect(tf.getBackend()).toBe(before);
    expect([...(await tf.add(outside, 1).data())]).toEqual([2, 3, 4]);
    outside.dispose();
  });

  it('leaves no tensors', () => {
    const before = tf.memory().numTensors;
    trace(({ x }) => ({ y: tf.grad((a) => tf.sum(tf.square(a)))(x as tf.Tensor) }), { inputs: { x: float(3) } });
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('trace refuses', () => {
  type Refusal = readonly [string, TensorFunction, Signature, string];
  const refusals: readonly Refusal[] = [
    [
      'a batch size used as a number',
      ({ x }) => ({ y: tf.mul(x as tf.Tensor, 1 / (x as tf.Tensor).shape[0]) }),
      { inputs: { x: float('batch', 3) } },
      'trace: Mul: a size used as a number does not make a graph for any size. Sum instead of averaging, or fix the size.',
    ],
    ...(
      [
        [
          'the rest of a batch by two',
          (x) =>
            tf.pad(x, [
              [0, (x.shape[0] as number) % 2],
              [0, 0],
            ]),
        ],
        ['half of a batch', (x) => tf.slice(x, [0, 0], [Math.ceil((x.shape[0] as number) / 2), 3])],
        [
          'a batch filled up to fours',
          (x) =>
            tf.pad(x, [
              [0, (4 - ((x.shape[0] as number) % 4)) % 4],
              [0, 0],
            ]),
        ],
        ['what depends on a batch being even', (x) => ((x.shape[0] as number) % 2 === 0 ? tf.relu(x) : tf.neg(x))],
      ] as readonly (readonly [string, (x: tf.Tensor) => tf.Tensor])[]
    ).map(([name, fn]): Refusal => [
      name,
      ({ x }) => ({ y: fn(x as tf.Tensor) }),
      { inputs: { x: float('batch', 3) } },
      'does not make a graph for any size',
    ]),
    ['no result', () => undefined as never, { inputs: { x: float(3) } }, 'trace: results: the function has to return its results by name'],
    [
      'two things of one name',
      ({ x }) => ({ y: x as tf.Tensor }),
      { inputs: { x: float(3) }, constants: { x: zerosArray('float32', [3]) } },
      'two of its inputs, constants and carried values have this name',
    ],
    [
      'a max pool that pads by its window',
      ({ x }) => ({ y: tf.maxPool(as4d(x), 2, 2, 2) }),
      { inputs: { x: float(1, 5, 5, 1) } },
      'trace: MaxPool: padding as large as the window',
    ],
    [
      'a value that is read',
      ({ x }) => ({ y: tf.scalar((tf.sum(x as tf.Tensor).dataSync()[0] as number) * 2) }),
      { inputs: { x: float(3) } },
      'trace: the function reads the values of a tensor (data, dataSync, array or print), which has none while it is traced. Called at ',
    ],
    ...Object.entries({
      randomUniform: () => tf.randomUniform([3]),
      randomNormal: () => tf.randomNormal([3]),
      randomGamma: () => tf.randomGamma([3], 1),
      randomUniformInt: () => tf.randomUniformInt([3], 0, 9),
      randomStandardNormal: () => tf.randomStandardNormal([3]),
      truncatedNormal: () => tf.truncatedNormal([3], 0, 1, 'float32', 5),
      rand: () => tf.rand([3], () => 0.5),
    }).map(([name, draw]): Refusal => [
      name,
      ({ x }) => ({ y: tf.add(x as tf.Tensor, draw()) }),
      { inputs: { x: float(3) } },
      `trace: ${name}: the function draws random numbers, which a graph would repeat at every call. Called at `,
    ]),
    [
      'dropout with a seed',
      ({ x }) => ({ y: tf.dropout(x as tf.Tensor, 0.5, undefined, 7) }),
      { inputs: { x: float(3) } },
      'trace: randomUniform: the function draws random numbers, which a graph would repeat at every call. Called at ',
    ],
    [
      'more open sizes than can be told apart',
      ({ x }) => ({ y: tf.relu(x as tf.Tensor) }),
      { inputs: { x: { shape: ['batch', 'a', 'b', 'c', 'd'], dtype: 'float32' } } },
      'trace: signature: too many open sizes; expected batch and at most 3 others, got a, b, c, d',
    ],
    [
      'a kernel without a counterpart',
      ({ x }) => ({ y: tf.image.cropAndResize(x as tf.Tensor4D, tf.zeros([1, 4]), tf.zeros([1], 'int32'), [2, 2]) }),
      { inputs: { x: float(1, 4, 4, 3) } },
      'trace: CropAndResize: this TensorFlow.js kernel has no ONNX counterpart here: boxes are values, and ONNX has no operator that samples as it does; got float32 [1, 4, 4, 3], float32 [1, 4], int32 [1]. Called at ',
    ],
    [
      'a dtype without a counterpart',
      ({ x }) => ({ y: tf.exp(tf.cast(x as tf.Tensor, 'int32')) }),
      { inputs: { x: float(3) } },
      'trace: Exp: a function of floats alone; expected float32, got int32 [3]. Called at ',
    ],
    [
      'volumes whose first window begins inside',
      ({ x }) => ({ y: tf.avgPool3d(x as tf.Tensor5D, 1, 2, 'same') }),
      { inputs: { x: float(1, 2, 2, 2, 1) } },
      'trace: padding: windows that leave out the beginning of an axis; expected a stride of at most the size of the window, 1, got 2. Pad by "valid".',
    ],
    [
      'fewer windows than fit',
      ({ x }) => ({ y: tf.avgPool(x as tf.Tensor4D, [3, 1], 1, 1) }),
      { inputs: { x: float(1, 4, 4, 1) } },
      'trace: padding: fewer windows than fit along an axis; expected 5 of size 1 every 1, got 4. Pad by "same", "valid", or numbers for each side.',
    ],
    [
      'means of no element',
      ({ x }) => ({ y: tf.avgPool(x as tf.Tensor4D, 1, 2, 1) }),
      { inputs: { x: float(1, 4, 4, 1) } },
      'trace: AvgPool: windows that lie outside of the input; got float32 [1, 4, 4, 1]. Called at ',
    ],
    [
      'the gradient of a max pool that rounds up, which tfjs gets wrong',
      ({ x }) => ({ y: tf.grad((a) => tf.sum(tf.maxPool(a as tf.Tensor4D, 2, 2, 0, 'ceil')))(x as tf.Tensor) }),
      { inputs: { x: float(1, 5, 7, 2) } },
      'trace: MaxPoolGrad: TensorFlow.js does not keep the rounding mode of a max pool for its gradient; expected a gradient of 2 × 3, got 3 × 4',
    ],
    [
      'a result that is no tensor',
      () => ({ y: 3 as unknown as tf.Tensor }),
      { inputs: { x: float(3) } },
      'trace: result "y": not a tensor; got number',
    ],
    [
      'a carried value that changes its shape',
      ({ x }) => ({ w: x as tf.Tensor }),
      { inputs: { x: float(3) }, carried: { w: zerosArray('float32', [2]) } },
      'trace: carried value "w": comes back with another shape or dtype; expected float32 [2], got float32 [3]',
    ],
    [
      'a constant of numbers that TensorFlow.js cannot hold',
      ({ c }) => ({ y: tf.neg(c as tf.Tensor) }),
      { inputs: {}, constants: { c: ndArray('int64', [2], BigInt64Array.of(1n, 2n ** 40n)) } },
      'trace: constant "c": TensorFlow.js computes with int32, which does not hold all of its numbers; expected int32, got int64 with 1099511627776',
    ],
    [
      'a constant that would be rounded',
      ({ c }) => ({ y: tf.neg(c as tf.Tensor) }),
      { inputs: {}, constants: { c: ndArray('float64', [1], Float64Array.of(0.1)) } },
      'trace: constant "c": TensorFlow.js computes with float32, which does not hold all of its numbers; expected float32, got float64 with 0.1',
    ],
    [
      'a carried value of a dtype that would come back as another',
      ({ w }) => ({ w: w as tf.Tensor }),
      { inputs: {}, carried: { w: ndArray('float64', [1], Float64Array.of(0.5)) } },
      'trace: carried value "w": a dtype that TensorFlow.js has no tensors of; expected float32, int32, int64, uint8, bool, got float64',
    ],
    [
      'a carried value that does not come back',
      () => ({}),
      { inputs: { x: float(3) }, carried: { w: zerosArray('float32', [2]) } },
      'trace: carried values are not returned: w',
    ],
  ];
  it('with the place that called TensorFlow.js, in the middle of a gradient too', () => {
    const dilation = (x: tf.Tensor): tf.Scalar => tf.sum(tf.dilation2d(x as tf.Tensor4D, tf.zeros([2, 2, 1]), 1, 'same'));
    const signature = { inputs: { x: float(1, 4, 4, 1) } };
    expect(() => trace(({ x }) => ({ y: tf.grad(dilation)(x as tf.Tensor) }), signature)).toThrow(
      /^trace: Dilation2DBackpropInput: .* Called at \S*trace\.test\.ts:\d+:\d+\. Write the function/,
    );
  });

  it.each(refusals)('%s', (_, fn, signature, message) => {
    const before = tf.getBackend();
    expect(() => trace(fn, signature)).toThrow(message);
    expect(tf.getBackend()).toBe(before);
  });
});
