/**
 * Every exact tap of the presets, as the compiled engine explains them, with weights that are drawn: contributions then cancel nearly all of each other, and
 * what float32 leaves is measured by their sizes, Σ|s|, not by the little that remains.
 */
import { initWeights, ndArray, Random } from '@coda-nets/core';
import { explainer, type TapExplanation } from '@coda-nets/depth';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { describe, expect, it } from 'vitest';
import { buildNetwork, networkPresets } from '../src/build-network.ts';

/** Of Σ|s|: ten roundings of float32. */
const COMPLETENESS = 1e-6;

const presets = ['coda-s-cifar10', 'hybrid-cifar10-resnet20', 'hybrid-cifar10-resnet20-t1000'] as const;

describe('contributions of a preset', () => {
  it.each(presets)('%s: sum to z − b₀ at every exact tap, which gradient × input does not', async (preset) => {
    const config = networkPresets[preset];
    if (config === undefined) throw new Error(preset);
    const network = buildNetwork(config, preset);
    const random = Random.seeded(3);
    const [height, width] = network.inputShape;
    const images = ndArray(
      'float32',
      [2, height, width, 3],
      Float32Array.from({ length: 2 * height * width * 3 }, () => random.uniform()),
    );
    const options = { engine: await onnxRuntimeEngine(), network, weights: initWeights(network, Random.seeded(1)) };
    const exact = network.taps.filter((tap) => tap.exact).map(({ name }) => name);
    const worst = async (method: 'contributions' | 'inputTimesGradient'): Promise<number> => {
      const explain = await explainer({ ...options, taps: exact, method });
      const explanations = await explain.explain(images, [1, 7]);
      await explain.dispose();
      const errorOf = ({ sum, expected, map }: TapExplanation): number =>
        Math.abs(sum - expected) / map.data.reduce((total, s) => total + Math.abs(s), 0);
      return Math.max(...explanations.flatMap(({ taps }) => taps.map(errorOf)));
    };
    expect(await worst('contributions')).toBeLessThanOrEqual(COMPLETENESS);
    expect(await worst('inputTimesGradient')).toBeGreaterThan(1000 * COMPLETENESS);
  });
});
