import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';

beforeAll(() => useBackend('cpu'));

it('the README’s example runs, and its contributions sum as it says', async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const { exactTaps, explained, sums } = await import('./readme-example.ts');
  expect(exactTaps).toEqual(['layer2.2', 'head.0', 'head.1', 'head.2']);
  // `explained` is a logit less its bias: what a float32 of the bias's size is rounded by stays
  for (const sum of Object.values(sums)) expectClose(sum, explained, { rtol: 1e-5, atol: 2e-6 });
});
