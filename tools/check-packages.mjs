/**
 * Packs every published package and holds what a user would install against publint (strict) and are-the-types-wrong (ESM only). Needs a build, and
 * to be run by pnpm, which puts both commands on the path: pnpm check:packages.
 */
import { spawnSync } from 'node:child_process';
import { workspaces } from './workspaces.mjs';

let failed = 0;
for (const { folder, manifest } of workspaces('.')) {
  if (manifest['private'] === true) continue;
  expectSuccess(`publint ${folder}`, spawnSync('publint', ['--strict', folder], { encoding: 'utf8' }));
  expectSuccess(`attw ${folder}`, spawnSync('attw', ['--pack', folder, '--profile', 'esm-only', '--quiet'], { encoding: 'utf8' }));
}
process.stdout.write(failed === 0 ? 'packages: as they should be\n' : `packages: ${failed} checks failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

function expectSuccess(/** @type {string} */ what, /** @type {import('node:child_process').SpawnSyncReturns<string>} */ result) {
  if (result.status === 0) return;
  failed++;
  process.stderr.write(`${what}: ${result.error?.message ?? `${result.stdout}${result.stderr}`}\n`);
}
