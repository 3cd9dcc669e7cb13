import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const fenced = (file: string): string => `\`\`\`ts\n${readFileSync(new URL(file, import.meta.url), 'utf8')}\`\`\``;

beforeAll(() => useBackend('cpu'));

it('the README’s example runs, and its contributions sum as it says', async () => {
  expect(readme).toContain(fenced('readme-example.ts'));
  const { explained, sums } = await import('./readme-example.ts');
  expect(Object.keys(sums)).toEqual(['input', 'layers.0', 'layers.1']);
  for (const sum of Object.values(sums)) expectClose(sum, explained, { rtol: 1e-5 });
});

it('the README’s linear map is what it says', async () => {
  expect(readme).toContain(fenced('linear-map-example.ts'));
  const { evidence, half, logits, value, grads } = await import('./linear-map-example.ts');
  const z = tf.sub(logits, Math.log(0.1 / 0.9));
  expectClose(evidence, tf.gather(z, [0, 2], 1), { rtol: 1e-5 });
  expectClose(half, tf.mul(z, 0.5), { rtol: 1e-5 });
  expect(value.dataSync()[0]).toBeGreaterThan(0);
  expect(grads.length).toBe(6);
  for (const gradient of grads) expect(tf.max(tf.abs(gradient)).dataSync()[0]).toBeGreaterThan(0);
});
