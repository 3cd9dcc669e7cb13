/** Suites that run on every backend: on tfjs-node where it is installed, and say so where it is not. */
import { beforeAll, describe } from 'vitest';
import { hasBackend, useBackend, type TestBackend } from '@coda-nets/tools/testkit';

const backends: readonly TestBackend[] = ['cpu', 'wasm', 'tensorflow'];
const here = new Map(await Promise.all(backends.map(async (name) => [name, await hasBackend(name)] as const)));

export function describeOnBackends(what: string, suite: (backend: TestBackend) => void): void {
  for (const backend of backends) {
    const missing = here.get(backend) !== true;
    describe.skipIf(missing)(`${what} on ${backend}${missing ? ' (SKIPPED: not installed here)' : ''}`, () => {
      // TensorFlow alone takes seconds to load.
      beforeAll(() => useBackend(backend), 60_000);
      suite(backend);
    });
  }
}
