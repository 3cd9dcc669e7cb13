/** A process of its own for `alone.ts`: does one piece of work, prints what it took. Not a module to import. */
import { resolveEngine } from '@coda-nets/engine';
import { peakBytes, residentBytes } from '../process-memory.ts';
import type { AloneAnswer, AloneRequest } from './alone.ts';
import { compileTraining, ourWork } from './our-work.ts';
import { readState, readWorkFiles } from './work-files.ts';

/** The second run meets buffers that the first one left. */
const MEMORY_RUNS = 2;

const { kind, batch, files, engine: name, threads } = JSON.parse(process.argv[2] as string) as AloneRequest;
const { engine } = await resolveEngine(name, { threads });
const inputs = kind === 'start' ? await readWorkFiles(files, batch) : undefined;
const baseline = residentBytes();
const start = performance.now();
if (inputs !== undefined) await compileTraining(inputs, engine);
else if (kind === 'load') await readState(files.state);
else await (await ourWork({ kind: kind as 'train', batch }, files, engine)).measure(MEMORY_RUNS);
process.stdout.write(JSON.stringify({ ms: performance.now() - start, bytes: peakBytes() - baseline } satisfies AloneAnswer));
