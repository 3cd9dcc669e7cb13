/** Fails on an import between packages that ARCHITECTURE.md does not draw. */
import { undrawnArrows } from './undrawn-arrows.mjs';

const problems = undrawnArrows('.');
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`arrows: ${problems.length === 0 ? 'all drawn' : `${problems.length} not drawn`}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
