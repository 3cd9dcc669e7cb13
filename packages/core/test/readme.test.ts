import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';

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
