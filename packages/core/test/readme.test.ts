import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { useBackend } from '@coda-nets/tools/testkit';

it('the README’s example runs and prints what it says', async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  const folder = mkdtempSync(join(tmpdir(), 'coda-core-'));
  try {
    const { roundTrip } = await import('./readme-example.ts');
    await roundTrip(join(folder, 'model.safetensors'));
    expect(log.mock.calls).toEqual([
      ['CodaError: config.json: temprature: unknown key; expected one of temperature. Did you mean "temperature"?'],
      ['layers.2'],
      ['linear', [2, 3]],
    ]);
  } finally {
    log.mockRestore();
    rmSync(folder, { recursive: true });
  }
});

it('the README’s safetensors file is written and read in part', async () => {
  const source = readFileSync(new URL('readme-safetensors-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  const folder = mkdtempSync(join(tmpdir(), 'coda-core-'));
  try {
    const { oneTensor } = await import('./readme-safetensors-example.ts');
    await oneTensor(join(folder, 'w.safetensors'));
    expect(log.mock.calls).toEqual([[{ format: 'pt' }, { dtype: 'BF16', shape: [2], bytes: 4 }], [Float32Array.of(1, 0.10009765625)]]);
  } finally {
    log.mockRestore();
    rmSync(folder, { recursive: true });
  }
});

it('the README’s network in tf.layers learns, and hands its weights out', async () => {
  const source = readFileSync(new URL('readme-layers-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  await useBackend('cpu');
  const { history, weights } = await import('./readme-layers-example.ts');
  expect(history['acc']?.at(-1)).toBe(1);
  expect(weights['matrix']?.shape).toEqual([3, 2]);
  expect(weights['matrix']?.data.some((value) => value !== 0)).toBe(true);
});
