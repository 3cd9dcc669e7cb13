/** Which residual branches are left out: how often, on average nothing changes, the same from the same stream, and what a network is told. */
import { Random, trainingContext } from '@coda-nets/core';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { depthMask, keepProbabilities, residualBranches, withStochasticDepth } from '../src/stochastic-depth.ts';
import { branchedNetwork } from './branched-network.ts';
import { tinyNetwork } from './tiny-network.ts';

beforeAll(() => useBackend('cpu'));

describe('stochastic depth', () => {
  it('keeps the last of L branches with p_L and those below in proportion', () => {
    // arXiv 1603.09382, figure 2: L = 54 and p_L = 0.5
    expectClose([...keepProbabilities(4, 0.5)], [0.875, 0.75, 0.625, 0.5], { atol: 1e-15 });
    expect(keepProbabilities(54, 0.5)[53]).toBe(0.5);
  });

  it('keeps as often as it says, so that on average a branch counts once', () => {
    const [images, branches] = [20_000, 3];
    const { data } = depthMask(Random.seeded(4), images, branches, 0.6);
    const columnOf = (l: number): number[] => [...data].filter((_, i) => i % branches === l);
    for (const [l, p] of keepProbabilities(branches, 0.6).entries()) {
      const column = columnOf(l);
      expect(new Set(column)).toEqual(new Set([0, Math.fround(1 / p)]));
      const kept = column.filter((x) => x > 0).length / images;
      // five standard deviations of a share of 20,000 draws
      expect(Math.abs(kept - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / images));
      expect(Math.abs(column.reduce((sum, x) => sum + x) / images - 1)).toBeLessThan((5 * Math.sqrt((p * (1 - p)) / images)) / p);
    }
    // images and branches do not go together
    const last = columnOf(2);
    const both = columnOf(0).filter((x, n) => x > 0 && (last[n] ?? 0) > 0).length;
    expect(both / images).toBeCloseTo(0.8 * 0.4, 1);
  });

  it('draws the same from the same stream', () => {
    const draw = (seed: number) => depthMask(Random.seeded(seed), 8, 3, 0.5).data;
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('multiplies each branch of each image by its number, and leaves other contexts alone', () => {
    tf.tidy(() => {
      const mask = tf.tensor2d([
        [0, 2],
        [1, 0],
      ]);
      const { branch } = withStochasticDepth(trainingContext, ['first', 'second'], mask);
      const x = tf.ones([2, 1, 2, 1]);
      expect([...(branch?.('first', x) as tf.Tensor).dataSync()]).toEqual([0, 0, 1, 1]);
      expect([...(branch?.('second', x) as tf.Tensor).dataSync()]).toEqual([2, 2, 0, 0]);
      expect(trainingContext.branch).toBeUndefined();
    });
  });

  it('is refused to a network without branches', () => {
    expect(residualBranches(branchedNetwork())).toEqual(['first', 'second']);
    expect(() => residualBranches(tinyNetwork())).toThrow(
      'train: config: stochasticDepth: this network has no trained residual branch that could be left out; expected a ResNet, or a hybrid whose stem is trained, got kind "tiny"',
    );
  });
});
