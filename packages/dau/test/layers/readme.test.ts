import { readFileSync } from 'node:fs';
import { beforeAll, expect, it, vi } from 'vitest';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';

beforeAll(() => useBackend('cpu'));

it('the README’s example of tf.layers runs, learns, and explains exactly', { timeout: 180_000 }, async () => {
  const source = readFileSync(new URL('readme-example.ts', import.meta.url), 'utf8');
  expect(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')).toContain(`\`\`\`ts\n${source}\`\`\``);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  try {
    const { history, explanation } = await import('./readme-example.ts');
    expect(log.mock.calls.map(([line]) => String(line)).join('\n')).toContain('first (DauConv2d)');
    expect(log.mock.calls.slice(-2).map((call) => call.slice(0, 3))).toEqual([
      ['first', [32, 4, 4], true],
      ['second', [32, 4, 4], true],
    ]);
    expect(history['acc']?.at(-1)).toBe(1);
    const { taps, expected } = explanation;
    expect(Object.keys(taps).slice(1)).toEqual(['first', 'second']);
    for (const { sum } of Object.values(taps)) expectClose(sum, expected, { rtol: 1e-5, relativeTo: 'largest' });
  } finally {
    log.mockRestore();
  }
});
