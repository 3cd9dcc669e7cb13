import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

beforeEach(() => vi.resetModules());
afterEach(() => vi.unstubAllEnvs());

it('has a thread for every processor, and never fewer than Node’s four', async () => {
  vi.stubEnv('UV_THREADPOOL_SIZE', undefined);
  await import('../src/thread-pool-size.ts');
  expect(process.env['UV_THREADPOOL_SIZE']).toBe(String(Math.max(4, availableParallelism())));
});

it('leaves alone what the user has set', async () => {
  vi.stubEnv('UV_THREADPOOL_SIZE', '7');
  await import('../src/thread-pool-size.ts');
  expect(process.env['UV_THREADPOOL_SIZE']).toBe('7');
});
