/** The weights that come with the command: they open, say where they come from, and explain exactly. */
import { ndArray, Random, sizeOf, type JsonObject } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { explainer } from '@coda-nets/depth';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/build-network.ts';

const folder = fileURLToPath(new URL('../models/', import.meta.url));
const files = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));

describe('the shipped models', () => {
  it.each(files)('%s opens and has a card', async (file) => {
    const { config, weights, card } = await readModel(folder + file);
    expect(Object.keys(weights).toSorted()).toEqual(Object.keys(buildNetwork(config as JsonObject, file).weights).toSorted());
    expect(card?.accuracy[0]?.value).toBeGreaterThan(0.88);
    expect(card?.limits.length).toBeGreaterThan(0);
  });

  it.each(files.filter((name) => name.startsWith('hybrid')))('%s: contributions at the cut sum up to the logit', async (file) => {
    const { config, weights } = await readModel(folder + file);
    const network = buildNetwork(config as JsonObject, 'hybrid');
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const shape = [4, ...network.inputShape];
    const random = Random.seeded(1);
    const images = ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => random.uniform()),
    );
    const explain = await explainer({ engine, network, weights, taps: ['layer2.2'], chunk: 4 });
    try {
      for (const { taps } of await explain.explain(images)) {
        expect(taps.map(({ name, exact }) => [name, exact])).toEqual([['layer2.2', true]]);
        // sums of 16·16·32 products in float32
        expect(taps[0]?.residual).toBeLessThan(1e-4);
      }
    } finally {
      await explain.dispose();
    }
  });
});
