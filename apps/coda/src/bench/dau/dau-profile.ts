/** Where the time of one of our pieces of work goes: the same work in a profiled session of ONNX Runtime. */
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { longestProfile, type Profile } from '../profile-table.ts';
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
    return await longestProfile(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
