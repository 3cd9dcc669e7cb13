import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '@coda-nets/core';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { freshUnit, maximise, projectedDirections, share, weightsFor } from '../src/maximise-unit.ts';
import { principalDirections, sampleInputs, side } from '../src/patterns.ts';
import { drawRows } from '../src/picture.ts';

const d = side * side;

beforeAll(() => useBackend('cpu'));

describe('the example', () => {
  it('has inputs with the variances it says, along orthonormal directions', () => {
    const inner = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
    const gram = principalDirections.flatMap((a) => principalDirections.map((b) => inner(a, b)));
    expectClose(gram, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], { atol: 1e-6 });
    const count = 2000;
    const x = sampleInputs(count, Random.seeded(1));
    const variance = (q: Float32Array): number => {
      let sum = 0;
      for (let n = 0; n < count; n++) sum += inner(x.subarray(n * d, (n + 1) * d), q) ** 2 / count;
      return sum;
    };
    // Standard error √(2 / 2000) = 3 %.
    expectClose(principalDirections.map(variance), [8.1, 7.1, 6.1, 5.1], { rtol: 0.15 });
    expectClose(variance(new Float32Array(d).with(7, 1)), 0.1, { atol: 0.15 });
  });

  it('finds most of every pattern in 60 steps, of which a fresh unit knows nothing, and draws it', () => {
    const random = Random.seeded(2);
    const unit = freshUnit('l2', random.split('weights'));
    const untrained = projectedDirections(unit);
    for (const p of untrained) expect(share(p)).toBeLessThan(0.15);
    maximise(unit, 60, random.split('inputs'));
    const directions = projectedDirections(unit);
    for (const p of directions) expect(share(p)).toBeGreaterThan(0.8);

    const w = weightsFor(sampleInputs(3, random.split('shown')), unit);
    const responses = [0, 1, 2].map((i) => w.slice(i * d, (i + 1) * d));
    for (const one of responses) expect(share(one)).toBeCloseTo(1, 4); // ‖w‖² of an L2 unit
    const picture = drawRows(
      [
        { label: 'a', directions: untrained, responses },
        { label: 'b', directions, responses },
      ],
      ['left', 'right'],
    );
    expect([picture.width, picture.height]).toEqual([686, 186]);
    tf.dispose([unit.A, unit.B, unit.b]);
    expect(tf.memory().numTensors).toBe(0);
  }, 120_000);
});
