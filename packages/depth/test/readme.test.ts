import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { beforeAll, expect, test, vi } from 'vitest';
import { ndArray } from '@coda-nets/core';
import * as depth from '@coda-nets/depth';
import { useBackend } from '@coda-nets/tools/testkit';
import { eagerEngine, toyImages, toyNetwork, toyWeights } from './toy-network.ts';

beforeAll(() => useBackend('cpu'));

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the README’s example runs, and its map is complete', async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  const { png, residual } = await import('./readme-example.ts');
  expect(log).toHaveBeenCalledOnce();
  // The README says about 1e-7; the project promises 1e-5.
  expect(residual).toBeLessThan(1e-5);
  expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width: 256, height: 256 });
});

test('the README’s own method and depth profile run', async () => {
  const blocks = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block as string);
  expect(blocks).toHaveLength(2);
  const classes = 12;
  const network = toyNetwork({ classes });
  const probabilities = ndArray('float32', [classes, classes], new Float32Array(tf.eye(classes).dataSync()));
  const given: Record<string, unknown> = {
    ...depth,
    tf,
    engine: eagerEngine,
    network,
    weights: toyWeights(network),
    images: toyImages(classes),
    logits: probabilities,
    probabilities,
    labels: Array.from({ length: classes }, (_, i) => i),
  };
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (
    ...args: string[]
  ) => (...args: unknown[]) => Promise<unknown>;
  const run = new AsyncFunction(...Object.keys(given), `${blocks.join('')}\nreturn { energy, taps, of, interval, profile };`);
  const result = (await run(...Object.values(given))) as depth.InterpretableDepth & { energy: depth.Method; profile: depth.DepthProfile };
  expect(result).toMatchObject({ of: 3, interval: { confidence: 0.95 }, profile: { gridList: { n: 3 } } });
  const { attribute } = await depth.attributor({ engine: eagerEngine, network, weights: toyWeights(network), method: result.energy });
  expect((await attribute(toyImages(1))).taps).toHaveLength(3);
});
