import { defineConfig } from 'vitest/config';

// Tests run from source: the source condition of each package's `exports` points at its TypeScript.
export default defineConfig({
  resolve: { conditions: ['@coda-nets/source'] },
  ssr: { resolve: { conditions: ['@coda-nets/source'] } },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'examples/*/test/**/*.test.ts', 'tools/**/*.test.ts'],
    testTimeout: 60_000,
    // TensorFlow alone takes seconds to load
    hookTimeout: 60_000,
    pool: 'forks',
    // worker threads that a test starts are from source too
    execArgv: ['--import', new URL('tools/testkit/run-typescript.mjs', import.meta.url).href, '--conditions=@coda-nets/source'],
    maxWorkers: 2,
  },
});
