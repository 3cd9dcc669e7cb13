/** Reads the trace that ONNX Runtime writes of a profiled session, and says where the time of a call goes. */
import { CodaError } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { textTable } from './text-table.ts';

/** 3,000 nodes, some hundred calls, 800 characters an event. */
const MAX_TRACE_BYTES = 2 ** 30;

interface TraceEvent {
  readonly cat: string;
  readonly name: string;
  /** µs */
  readonly dur: number;
  readonly args: Readonly<Record<string, string | readonly Readonly<Record<string, readonly number[]>>[]>>;
}

interface ProfiledNode {
  readonly name: string;
  readonly op: string;
  readonly inputs: string;
  readonly outputs: string;
  /** Of one call on average. */
  readonly ms: number;
}

export interface Profile {
  readonly calls: number;
  /** Of one call on average, all nodes. */
  readonly nodesMs: number;
  /** Of one call on average, as the runtime sees it. */
  readonly callMs: number;
  /** The most that the runtime's arena held. */
  readonly arenaBytes: number;
  readonly nodes: readonly ProfiledNode[];
}

/** The average over all calls in the trace but the first `warmUps`. Slowest node first. */
async function readProfile(path: string, warmUps: number): Promise<Profile> {
  return profileOf(
    JSON.parse(new TextDecoder().decode(await readFileBytes(path, { maxBytes: MAX_TRACE_BYTES }))) as TraceEvent[],
    warmUps,
    path,
  );
}

/**
 * The profile of a folder's `trace…` file after one warm-up. An engine may use a second session for what depends on constants alone: it runs once, and its trace
 * is the shorter one.
 */
export async function longestProfile(folder: string): Promise<Profile> {
  const traces = (await readdir(folder)).filter((name) => name.startsWith('trace')).map((name) => join(folder, name));
  const sizes = await Promise.all(traces.map(async (path) => (await stat(path)).size));
  return readProfile(traces[sizes.indexOf(Math.max(...sizes))] as string, 1);
}

export function profileOf(events: readonly TraceEvent[], warmUps: number, where: string): Profile {
  const sums = new Map<string, { op: string; inputs: string; outputs: string; µs: number }>();
  let seen = 0;
  let callµs = 0;
  let arenaBytes = 0;
  for (const { cat, name, dur, args } of events) {
    if (cat === 'Node' && name.endsWith('_kernel_time')) {
      arenaBytes = Math.max(arenaBytes, Number(args['mem_arena_held'] ?? 0));
      if (seen < warmUps) continue;
      const node = name.replace(/:node_kernel_time$|_kernel_time$/, '');
      const sum = sums.get(node) ?? {
        op: args['op_name'] as string,
        inputs: shapes(args['input_type_shape']),
        outputs: shapes(args['output_type_shape']),
        µs: 0,
      };
      sum.µs += dur;
      sums.set(node, sum);
    } else if (name === 'model_run') {
      if (seen >= warmUps) callµs += dur;
      seen++;
    }
  }
  const calls = seen - warmUps;
  if (calls < 1)
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'the trace has too few calls',
      expected: `more than ${warmUps}`,
      got: `${seen}`,
    });
  const nodes = [...sums].map(([name, { op, inputs, outputs, µs }]) => ({ name, op, inputs, outputs, ms: µs / 1000 / calls }));
  const nodesMs = nodes.reduce((sum, { ms }) => sum + ms, 0);
  return { calls, nodesMs, callMs: callµs / 1000 / calls, arenaBytes, nodes: nodes.toSorted((a, b) => b.ms - a.ms) };
}

function shapes(types: TraceEvent['args'][string] | undefined): string {
  if (types === undefined || typeof types === 'string') return '';
  return types.flatMap((type) => Object.values(type).map((shape) => `[${shape.join(',')}]`)).join(' ');
}

/** Time by operator, then the slowest nodes with their shapes. */
export function profileLines({ calls, nodesMs, callMs, arenaBytes, nodes }: Profile, top = 25): readonly string[] {
  const byOp = new Map<string, { ms: number; count: number }>();
  for (const { op, ms } of nodes) {
    const sum = byOp.get(op) ?? { ms: 0, count: 0 };
    byOp.set(op, { ms: sum.ms + ms, count: sum.count + 1 });
  }
  const share = (ms: number): string => `${((100 * ms) / nodesMs).toFixed(1)} %`;
  const ops = [...byOp].toSorted(([, a], [, b]) => b.ms - a.ms).map(([op, { ms, count }]) => [op, String(count), ms.toFixed(2), share(ms)]);
  const slowest = nodes
    .slice(0, top)
    .map(({ name, op, inputs, outputs, ms }) => [`${name} (${op}): ${inputs} → ${outputs}`, ms.toFixed(2), share(ms)]);
  return [
    `${nodes.length} nodes, ${nodesMs.toFixed(1)} ms of a call of ${callMs.toFixed(1)} ms (mean of ${calls}), arena ${(arenaBytes / 1e6).toFixed(0)} MB`,
    ...textTable(['operator', 'nodes', 'ms', 'share'], ops),
    '',
    ...textTable(['slowest nodes', 'ms', 'share'], slowest),
  ];
}
