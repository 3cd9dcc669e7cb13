import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { useBackend } from '@coda-nets/tools/testkit';

beforeAll(() => useBackend('cpu'));

it('the README’s example runs and gives the shapes it says', async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const { features, probabilities, shapes } = await import('./readme-example.ts');
  expect(probabilities.shape).toEqual([2, 10]);
  expect(features.shape).toEqual([2, 16, 16, 32]);
  expect(Object.keys(shapes).length).toBe(11);
  expect(shapes['layer3.2']).toEqual([2, 8, 8, 64]);
});
