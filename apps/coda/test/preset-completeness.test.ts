/** Every exact tap of the presets, as the compiled engine explains them, with weights that are drawn: the logits are then close to b₀. */
import { initWeights, ndArray, Random } from '@coda-nets/core';
import { explainer } from '@coda-nets/depth';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { describe, expect, it } from 'vitest';
import { buildNetwork, networkPresets } from '../src/build-network.ts';

/** Float32 sums over up to 16×16×64 entries that cancel, against a float32 score. */
const COMPLETENESS = 1e-5;

const presets = ['coda-s-cifar10', 'hybrid-cifar10-resnet20', 'hybrid-cifar10-resnet20-t1000'] as const;

describe('contributions of a preset', () => {
  it.each(presets)('%s: sum to z − b₀ at every exact tap, which gradient × input does not', async (preset) => {
    const config = networkPresets[preset];
    if (config === undefined) throw new Error(preset);
    const network = buildNetwork(config, preset);
    const random = Random.seeded(3);
    const [height, width] = network.inputShape;
    const images = ndArray('float32', [2, height, width, 3], Float32Array.from({ length: 2 * height * width * 3 }, () => random.uniform()));
    const options = { engine: await onnxRuntimeEngine(), network, weights: initWeights(network, Random.seeded(1)) };
    const exact = network.taps.filter((tap) => tap.exact).map(({ name }) => name);
    const worst = async (method: 'contributions' | 'inputTimesGradient'): Promise<number> => {
      const explain = await explainer({ ...options, taps: exact, method });
      const explanations = await explain.explain(images, [1, 7]);
      await explain.dispose();
      return Math.max(...explanations.flatMap(({ taps }) => taps.map(({ residual }) => residual)));
    };
    expect(await worst('contributions')).toBeLessThanOrEqual(COMPLETENESS);
    expect(await worst('inputTimesGradient')).toBeGreaterThan(1000 * COMPLETENESS);
  });
});
