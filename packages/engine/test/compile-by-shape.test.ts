import { ndArray, type Engine } from '@coda-nets/core';
import { compileByShape, onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

/** An engine that counts what it compiles and what is disposed. */
async function counted(): Promise<{ engine: Engine; counts: { compiled: number; disposed: number } }> {
  const inner = await onnxRuntimeEngine({ threads: 1 });
  const counts = { compiled: 0, disposed: 0 };
  const engine: Engine = {
    ...inner,
    compile: async (fn, signature) => {
      counts.compiled++;
      const compiled = await inner.compile(fn, signature);
      return {
        ...compiled,
        dispose: async () => {
          counts.disposed++;
          await compiled.dispose();
        },
      };
    },
  };
  return { engine, counts };
}

const vector = (...values: number[]) => ndArray('float32', [values.length], Float32Array.from(values));
/** Uses the size as a number, which no graph for any batch size can. */
const mean = ({ x, w }: Record<string, tf.Tensor>) => ({
  y: tf.add(tf.div(tf.sum(x as tf.Tensor), (x as tf.Tensor).size), w as tf.Tensor),
});
const constants = { w: vector(100) };

describe('compileByShape', () => {
  it('compiles once for each shape and dtype, also for calls at once', async () => {
    const { engine, counts } = await counted();
    const f = compileByShape(engine, mean, { constants });
    const results = await Promise.all([f.run({ x: vector(1, 3) }), f.run({ x: vector(1, 3, 5) }), f.run({ x: vector(5, 7) })]);
    expect(results.map(({ y }) => y?.data[0])).toEqual([102, 103, 106]);
    expect(counts.compiled).toBe(2);
    expect(f.size).toBe(2);
    await f.dispose();
    expect(counts.disposed).toBe(2);
    expect(f.size).toBe(0);
  });

  it('keeps as many as the limit, and lets go of the one that was not used for the longest', async () => {
    const { engine, counts } = await counted();
    const f = compileByShape(engine, mean, { constants, limit: 2 });
    for (const x of [vector(1), vector(1, 2), vector(2), vector(1, 2, 3)]) await f.run({ x });
    expect(f.size).toBe(2);
    await f.run({ x: vector(4) });
    expect(counts.compiled).toBe(3);
    await f.run({ x: vector(4, 6) });
    expect(counts.compiled).toBe(4);
    await f.dispose();
    expect(counts.disposed).toBe(4);
  });

  it('tries again what could not be compiled, and refuses calls after the end', async () => {
    const { engine } = await counted();
    let calls = 0;
    const f = compileByShape(engine, ({ x }) => {
      if (calls++ === 0) throw new Error('not yet');
      return { y: tf.mul(x as tf.Tensor, 2) };
    });
    await expect(f.run({ x: vector(1) })).rejects.toThrow('not yet');
    expect((await f.run({ x: vector(4) }))['y']?.data[0]).toBe(8);
    await f.dispose();
    await expect(f.run({ x: vector(1) })).rejects.toThrow('compileByShape: run: called after dispose');
  });

  it.each([0, 1.5, Number.NaN, -1])('refuses a limit of %s', async (limit) => {
    const { engine } = await counted();
    expect(() => compileByShape(engine, mean, { limit })).toThrow('compileByShape: limit: not a number of shapes');
  });
});
