/**
 * Fails when the public exports of a package are not those in `api/<package>.txt`; `--accept` takes over those that are there now.
 *
 * node tools/check-exports.mjs [--accept]
 */
import { parseArgs } from 'node:util';
import { changedExports } from './reviewed-exports.mjs';

const { accept } = parseArgs({ options: { accept: { type: 'boolean', default: false } } }).values;
const changes = changedExports('.', { accept });
for (const change of changes) process.stdout.write(`${change}\n\n`);
if (changes.length === 0) process.stdout.write('exports: as reviewed\n');
else if (accept)
  process.stdout.write(`exports: ${changes.length} changes taken over into api/; where a user can notice them: pnpm changeset\n`);
else process.stdout.write(`exports: ${changes.length} not as reviewed; where that is meant: pnpm check:exports --accept\n`);
process.exitCode = changes.length === 0 || accept ? 0 : 1;
