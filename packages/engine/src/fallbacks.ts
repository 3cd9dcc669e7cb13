/** Which nodes of a graph run on the CPU though a GPU was asked for, as the runtime's own trace of one call has it. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How many nodes of each operator. */
export type Fallbacks = Readonly<Record<string, number>>;

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly args?: { readonly op_name?: string; readonly provider?: string };
}

/** A folder for the trace of a session: `prefix` goes into its options, `read` after the trace was ended, `remove` in any case. */
export async function traceFolder(): Promise<{ prefix: string; read(): Promise<Fallbacks>; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'coda-trace-'));
  return {
    prefix: join(folder, 'trace'),
    read: async () => {
      const [name] = await readdir(folder);
      return name === undefined ? {} : fallbacksOf(JSON.parse(await readFile(join(folder, name), 'utf8')) as readonly TraceEvent[]);
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Of the events of one call. */
function fallbacksOf(events: readonly TraceEvent[]): Fallbacks {
  const counts: Record<string, number> = {};
  for (const { cat, name, args } of events) {
    if (cat !== 'Node' || !(name ?? '').endsWith('_kernel_time') || args?.provider !== 'CPUExecutionProvider') continue;
    const op = args.op_name ?? 'a node';
    counts[op] = (counts[op] ?? 0) + 1;
  }
  return counts;
}
