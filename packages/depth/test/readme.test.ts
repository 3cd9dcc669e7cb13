import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { beforeAll, expect, test, vi } from 'vitest';
import { useBackend } from '@coda-nets/tools/testkit';

beforeAll(() => useBackend('cpu'));

test('the README’s example runs, and its map is complete', async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  const { png, residual } = await import('./readme-example.ts');
  expect(log).toHaveBeenCalledOnce();
  // The README says about 1e-7; the project promises 1e-5.
  expect(residual).toBeLessThan(1e-5);
  expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width: 256, height: 256 });
});
