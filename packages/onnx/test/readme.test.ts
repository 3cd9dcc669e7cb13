/** The examples of the README run, and say what it says. */
import { readModelInfo } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, it, vi } from 'vitest';

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

beforeAll(async () => {
  await useBackend('cpu');
  tf.env().set('IS_TEST', false);
});

it('a function becomes a graph', async () => {
  expect(text('../README.md')).toContain(`\`\`\`ts\n${text('readme-example.ts')}\`\`\``);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  const { bytes } = await import('./readme-example.ts');
  expect(log.mock.calls[0]?.[0]).toContain('y: float32[batch, 2] = Relu(Gemm_0)');
  log.mockRestore();
  expect(readModelInfo(bytes, 'example').metadata).toEqual({ classes: '["a","b"]' });
});

it('a model becomes a graph', async () => {
  expect(text('../README.md')).toContain(`\`\`\`ts\n${text('readme-model-example.ts')}\`\`\``);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  const { bytes } = await import('./readme-model-example.ts');
  expect(log.mock.calls).toEqual([['graph(stem_input: float32[batch, height, width, 3])']]);
  log.mockRestore();
  expect(readModelInfo(bytes, 'example').outputs).toEqual([{ name: 'scores', dtype: 'float32', shape: ['batch', 10] }]);
});
