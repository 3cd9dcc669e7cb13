/** Where the time of one of our pieces of work goes: the same work in a profiled session of ONNX Runtime. */
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { longestProfile, type Profile } from '../profile-table.ts';
import type { EngineNetwork, EngineWork } from './engine-works.ts';
import { forwardWork, ourWork } from './our-work.ts';
import { readWorkFiles, writeWorkFiles } from './work-files.ts';

export async function profileWork(
  { kind, network: id, batch }: EngineWork,
  network: EngineNetwork,
  { seed, threads, calls }: { seed: number; threads: number; calls: number },
): Promise<Profile> {
  const folder = await mkdtemp(join(tmpdir(), 'coda-profile-'));
  try {
    const files = await writeWorkFiles(folder, id, network, seed);
    const engine = await onnxRuntimeEngine({ threads, profile: join(folder, 'trace') });
    const prepared =
      kind === 'taps'
        ? await forwardWork('blocks', await readWorkFiles(files, batch), engine, 'blocks')
        : await ourWork({ kind: kind === 'forward' ? 'forward' : 'train', batch }, files, engine);
    await prepared.measure(1 + calls);
    await prepared.release();
    return await longestProfile(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
