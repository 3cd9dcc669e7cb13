/** A process of its own for `memory.ts`: runs one piece of work, prints what it took. Not a module to import. */
import { resolveEngine } from '@coda-nets/engine';
import { peakBytes, residentBytes } from '../process-memory.ts';
import { MEMORY_RUNS, type MemoryAnswer, type MemoryRequest } from './memory.ts';
import { ourWork } from './our-work.ts';

const { work, files, engine: name, threads } = JSON.parse(process.argv[2] as string) as MemoryRequest;
const { engine } = await resolveEngine(name, { threads });
const baseline = residentBytes();
const prepared = await ourWork(work, files, engine);
await prepared.measure(MEMORY_RUNS);
process.stdout.write(JSON.stringify({ baseline, peak: peakBytes() } satisfies MemoryAnswer));
