/** Where the time of one of our pieces of work goes: the same work in a profiled session of ONNX Runtime. */
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readProfile, type Profile } from '../profile-table.ts';
import type { BenchNetwork, DauWork } from './dau-works.ts';
import { ourWork } from './our-work.ts';
import { writeWorkFiles } from './work-files.ts';

export async function profileWork(
  work: DauWork,
  network: BenchNetwork,
  { seed, threads, calls }: { seed: number; threads: number; calls: number },
): Promise<Profile> {
  const folder = await mkdtemp(join(tmpdir(), 'coda-profile-'));
  try {
    const files = await writeWorkFiles(folder, work.network, network, seed);
    const prepared = await ourWork(work, files, await onnxRuntimeEngine({ threads, profile: join(folder, 'trace') }));
    await prepared.measure(1 + calls);
    await prepared.release();
    // an engine may use a second session for what depends on constants alone: it runs once, and its trace is the shorter one
    const traces = (await readdir(folder)).filter((name) => name.startsWith('trace')).map((name) => join(folder, name));
    const sizes = await Promise.all(traces.map(async (path) => (await stat(path)).size));
    return await readProfile(traces[sizes.indexOf(Math.max(...sizes))] as string, 1);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
