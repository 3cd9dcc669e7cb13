/** Packs every published package and holds what a user would install against publint (strict) and are-the-types-wrong (ESM only). */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

let failed = 0;
for (const name of readdirSync('packages')) {
  const folder = join('packages', name);
  if (!existsSync(join(folder, 'package.json'))) continue;
  for (const args of [
    ['exec', 'publint', '--strict', folder],
    ['exec', 'attw', '--pack', folder, '--profile', 'esm-only', '--quiet'],
  ]) {
    const result = spawnSync('pnpm', args, { encoding: 'utf8' });
    if (result.status === 0) continue;
    failed++;
    process.stderr.write(`${folder}: ${args[1]} failed\n${result.stdout}${result.stderr}\n`);
  }
}
process.stdout.write(failed === 0 ? 'packages: as they should be\n' : `packages: ${failed} checks failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
