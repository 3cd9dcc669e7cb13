/** A function in stages gives the bits of the function as one graph, whatever crosses and whatever is wanted early. */
import { CodaError, meanOverRanks, ndArray, type NamedArrays, type NamedTensors, type Signature, type StageOptions } from '@coda-nets/core';
import { onnxRuntimeEngine, type OnnxEngine } from '@coda-nets/engine';
import { randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

const RUNS = 25;
const SHAPE = [3, 4];
/** What comes back from the other ranks here; not the identity, so that a value which did not cross is seen. */
const BACK = 0.5;
/** The whole function with `crossed` in the place of the mark. */
type Cut = (x: tf.Tensor, name: string) => tf.Tensor;
type Work = (tensors: NamedTensors, cut: Cut) => NamedTensors;

let engine: OnnxEngine;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
});

const float = { shape: SHAPE, dtype: 'float32' as const };
const signature: Signature = {
  inputs: { a: float, b: float },
  // large enough to be shared between stages, and small
  constants: { w: ndArray('float32', [20, 20], randomValues(400, 3)), v: ndArray('float32', SHAPE, randomValues(12, 4)) },
};
const inputs: NamedArrays = {
  a: ndArray('float32', SHAPE, randomValues(12, 1)),
  b: ndArray('float32', SHAPE, randomValues(12, 2)),
};
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const mean: StageOptions['mean'] = async (values) => {
  // what is read before it has come back is wrong
  await later(2);
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * BACK;
};

async function expectSameBits(work: Work, early: StageOptions['early'] = [], given = inputs, of = signature): Promise<void> {
  const whole = await engine.compile((t) => work(t, (x) => tf.mul(x, BACK)), of);
  const handedOut: string[] = [];
  const staged = await (engine.compileInStages as NonNullable<OnnxEngine['compileInStages']>)((t) => work(t, meanOverRanks), of, {
    mean,
    early,
  });
  try {
    const expected = await whole.run(given);
    // twice: memory between stages is used again
    for (let round = 0; round < 2; round++) {
      const results = await staged.run(given, (some) => handedOut.push(...Object.keys(some)));
      expect(results).toEqual(expected);
    }
    expect(handedOut.toSorted()).toEqual([...Object.keys(expected), ...Object.keys(expected)].toSorted());
  } finally {
    await whole.dispose();
    await staged.dispose();
  }
}

interface Step {
  readonly kind: 'add' | 'mul' | 'tanh' | 'sub' | 'cut' | 'sum' | 'weight';
  readonly left: number;
  readonly right: number;
}

/** Each step reads what earlier ones gave; results are the values of some steps. */
const works = fc.record({
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom<Step['kind'][]>('add', 'mul', 'tanh', 'sub', 'cut', 'cut', 'sum', 'weight'),
      left: fc.nat(1000),
      right: fc.nat(1000),
    }),
    { minLength: 1, maxLength: 24 },
  ),
  results: fc.array(fc.nat(1000), { minLength: 1, maxLength: 5 }),
  groups: fc.array(fc.array(fc.nat(4), { maxLength: 3 }), { maxLength: 3 }),
});

function workOf(steps: readonly Step[], results: readonly number[]): Work {
  return ({ a, b, v, w }, cut) => {
    const values = [a, b, v] as tf.Tensor[];
    const at = (i: number): tf.Tensor => values[i % values.length] as tf.Tensor;
    for (const [i, { kind, left, right }] of steps.entries()) {
      const [x, y] = [at(left), at(right)];
      if (kind === 'cut') values.push(cut(x, `cut ${i}`));
      else if (kind === 'tanh') values.push(tf.tanh(x));
      else if (kind === 'sum') values.push(tf.add(tf.sum(x, [1], true), y));
      else if (kind === 'weight') values.push(tf.add(x, tf.mean(tf.tanh(w as tf.Tensor))));
      else values.push({ add: tf.add, mul: tf.mul, sub: tf.sub }[kind](x, y));
    }
    return Object.fromEntries(results.map((r, i) => [`r${i}`, at(values.length - 1 - (r % values.length))]));
  };
}

describe('a function in stages', () => {
  it('is the function as one graph, for any function', async () => {
    await fc.assert(
      fc.asyncProperty(works, async ({ steps, results, groups }) => {
        await expectSameBits(
          workOf(steps, results),
          groups.map((group) => group.map((i) => `r${i}`)),
        );
      }),
      { numRuns: RUNS, seed: 7 },
    );
  }, 300_000);

  const x = (t: NamedTensors, name: string): tf.Tensor => t[name] as tf.Tensor;
  const hostile: Readonly<Record<string, readonly [Work, (readonly (readonly string[])[])?]>> = {
    'no cut': [(t) => ({ y: tf.tanh(x(t, 'a')) })],
    'a cut at an input': [(t, cut) => ({ y: tf.tanh(cut(x(t, 'a'), 'a')) })],
    'a cut at an input that is the output': [(t, cut) => ({ y: cut(x(t, 'a'), 'a') })],
    'a cut at a constant': [(t, cut) => ({ y: tf.add(x(t, 'a'), cut(x(t, 'v'), 'v')) })],
    'a cut at a number': [(t, cut) => ({ y: tf.add(x(t, 'a'), cut(tf.zeros(SHAPE), 'zeros')) })],
    'a cut at an output': [(t, cut) => ({ y: cut(tf.tanh(x(t, 'a')), 'y'), z: tf.tanh(x(t, 'b')) })],
    'an output that crosses, is read before and after': [
      (t, cut) => {
        const y = tf.tanh(x(t, 'a'));
        const mean = cut(y, 'y');
        return { y, mean, z: tf.add(tf.mul(y, 2), mean), u: tf.square(y) };
      },
    ],
    'two cuts in parallel': [(t, cut) => ({ y: tf.add(cut(tf.tanh(x(t, 'a')), 'a'), cut(tf.tanh(x(t, 'b')), 'b')) })],
    'two cuts of one value': [(t, cut) => ({ y: tf.add(cut(tf.tanh(x(t, 'a')), 'one'), cut(tf.tanh(x(t, 'a')), 'two')) })],
    'a cut of a cut': [(t, cut) => ({ y: tf.tanh(cut(cut(x(t, 'a'), 'inner'), 'outer')) })],
    'a value that several stages read': [
      (t, cut) => {
        const y = tf.tanh(x(t, 'a'));
        let z = y;
        for (let i = 0; i < 5; i++) z = tf.add(cut(tf.square(z), `${i}`), y);
        return { z };
      },
    ],
    'results that are wanted early, one of them nobody knows': [
      (t, cut) => {
        const y = tf.tanh(x(t, 'a'));
        const z = tf.square(tf.add(y, x(t, 'b')));
        return { z, y, mean: cut(tf.exp(z), 'z') };
      },
      [['y'], ['nobody'], ['z', 'mean']],
    ],
    'a dead cut': [
      (t, cut) => {
        cut(tf.tanh(x(t, 'a')), 'nobody reads it');
        return { y: tf.tanh(x(t, 'b')) };
      },
    ],
  };
  it.each(Object.entries(hostile))('is that graph with %s', async (_, [work, early]) => expectSameBits(work, early));

  it('is that graph for a training step in the blocked layout', async () => {
    const image = { shape: [16, 16, 16, 16], dtype: 'float32' as const };
    const of: Signature = { inputs: { x: image, filter: { shape: [3, 3, 16, 16], dtype: 'float32' } } };
    const given = {
      x: ndArray('float32', image.shape, randomValues(16 ** 4, 5)),
      filter: ndArray('float32', [3, 3, 16, 16], randomValues(9 * 256, 6)),
    };
    const work: Work = ({ x: images, filter }, cut) => {
      const loss = (w: tf.Tensor): tf.Scalar => {
        const y = tf.relu(tf.conv2d(images as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'));
        const centred = tf.sub(y, cut(tf.mean(y, [0, 1, 2]), 'mean'));
        return tf.mean(tf.square(tf.conv2d(centred as tf.Tensor4D, w as tf.Tensor4D, 1, 'same')));
      };
      const { value, grad } = tf.valueAndGrad(loss)(filter as tf.Tensor);
      return { value, grad };
    };
    await expectSameBits(work, [['grad']], given, of);
  });

  it('goes on while what it does not read is on its way', async () => {
    const order: string[] = [];
    const work: Work = ({ a, b }, cut) => ({
      early: tf.tanh(a as tf.Tensor),
      crossed: cut(tf.exp(a as tf.Tensor), 'a'),
      late: tf.exp(b as tf.Tensor),
    });
    const staged = await engine.compileInStages?.((t) => work(t, meanOverRanks), signature, {
      mean: async () => {
        order.push('sent');
        await later(20);
        order.push('arrived');
      },
      early: [['late']],
    });
    await staged?.run(inputs, (results) => order.push(...Object.keys(results)));
    expect(order).toEqual(['sent', 'early', 'late', 'arrived', 'crossed']);
    await staged?.dispose();
  });

  it('tells of what did not arrive, and of values that it cannot carry', async () => {
    const work: Work = ({ a }, cut) => ({ y: tf.tanh(cut(a as tf.Tensor, 'a')) });
    const lost = new CodaError({ kind: 'unavailable', where: 'mean', problem: 'a rank is gone' });
    const staged = await engine.compileInStages?.((t) => work(t, meanOverRanks), signature, {
      mean: async (_, label) => {
        expect(label).toBe('a');
        throw lost;
      },
    });
    await expect(staged?.run(inputs)).rejects.toBe(lost);
    await staged?.dispose();
    await expect(
      engine.compileInStages?.((t) => t, { inputs: {}, carried: { a: inputs['a'] as NamedArrays[string] } }, { mean }),
    ).rejects.toThrow('compileInStages: signature: a function in stages carries no values; expected inputs and constants');
  });

  it('is refused by name where it would have to be one graph', async () => {
    const [first, both] = [
      ({ a }: NamedTensors) => ({ y: tf.tanh(meanOverRanks(a as tf.Tensor, 'stem/norm')) }),
      ({ a, b }: NamedTensors) => ({
        y: tf.add(meanOverRanks(a as tf.Tensor, 'stem/norm'), meanOverRanks(b as tf.Tensor, 'head/norm')),
      }),
    ];
    const refused: unknown = await engine.compile(first, signature).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      kind: 'argument',
      message:
        'compile: meanOverRanks: the function averages "stem/norm" over ranks, which a graph in one piece does not stop for; expected compileInStages, of an engine that has it, got compile. A function of one process alone needs no meanOverRanks: without, it is the same and compiles as it is.',
    });
    await expect(engine.compile(both, signature)).rejects.toThrow('the function averages "stem/norm" and 1 more over ranks');
  });
});
