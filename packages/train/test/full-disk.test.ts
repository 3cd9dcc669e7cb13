/** A disk that is full in the middle of a checkpoint. The file system is real; the write that fails is made to. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { syntheticDataset, train, type TrainOptions } from '../src/index.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';

/** After so many bytes of checkpoints nothing more is written. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, hasLocks: true, eventsLeft: Number.POSITIVE_INFINITY }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      const file = await real.open(...args);
      if (!disk.hasLocks && /\.lock\./.test(String(args[0]))) {
        file.writeFile = async () => {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
        };
      }
      if (/tfevents/.test(String(args[0]))) {
        const { appendFile } = file;
        file.appendFile = async (record) => {
          const bytes = Buffer.from(record as Uint8Array);
          const fits = bytes.subarray(0, disk.eventsLeft);
          disk.eventsLeft -= fits.length;
          await appendFile.call(file, fits);
          if (fits.length < bytes.length) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
        };
      }
      return /checkpoints[\\/]\./.test(String(args[0])) ? Object.assign(file, { ofCheckpoint: true }) : file;
    },
    writeFile: async (...[file, data, options]: Parameters<typeof real.writeFile>) => {
      if (typeof file !== 'object' || !('ofCheckpoint' in file)) return real.writeFile(file, data, options);
      const bytes = Buffer.from(data as Uint8Array);
      if (bytes.length <= disk.left) {
        disk.left -= bytes.length;
        return real.writeFile(file, bytes, options);
      }
      // what fits is on the disk, as on a real one
      await real.writeFile(file, bytes.subarray(0, disk.left), options);
      disk.left = 0;
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    },
  };
});

const options = {
  network: tinyNetwork(),
  dataset: syntheticDataset({ classes: 4, perClass: 10, size: side }),
  config: { epochs: 2, batch: 4, learningRate: 0.02, checkpointEverySteps: 4, ema: { decay: 0.9 } },
} as const satisfies Partial<TrainOptions>;

beforeAll(() => useBackend('cpu'));
beforeEach(() => {
  disk.left = Number.POSITIVE_INFINITY;
  disk.hasLocks = true;
  disk.eventsLeft = Number.POSITIVE_INFINITY;
});

describe('a full disk', () => {
  it('without room for the lock is told of, and nothing is left', async () => {
    const out = await temporaryFolder();
    disk.hasLocks = false;
    const failed = train({ ...options, engine: await onnxRuntimeEngine({ threads: 1 }), out });
    await expect(failed).rejects.toMatchObject({ kind: 'unavailable', message: `${join(out, '.lock')}: the disk is full` });
    expect(await readdir(out)).toEqual([]);
  });

  // before the first record; in the middle of a later one
  it.each([0, 1200])('after %d bytes of an event file ends that file with a word, and nothing else', async (bytes) => {
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const [whole, out] = [await temporaryFolder(), await temporaryFolder()];
    const undisturbed = await train({ ...options, engine, out: whole });
    disk.eventsLeft = bytes;
    const notices: string[] = [];
    const result = await train({
      ...options,
      engine,
      out,
      onEvent: (event) => void (event.type === 'notice' && notices.push(event.message)),
    });
    expect(disk.eventsLeft).toBe(0);
    expect(notices).toEqual([
      expect.stringMatching(
        /TensorBoard’s event file could not be written \(ENOSPC\); the training goes on without it, and metrics\.jsonl has its numbers\.$/,
      ),
    ]);
    expect(result.weights).toEqual(undisturbed.weights);
    const steps = async (folder: string): Promise<string[]> => (await readdir(join(folder, 'checkpoints'))).sort();
    expect(await steps(out)).toEqual(await steps(whole));
    const lines = async (folder: string): Promise<number> => (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).split('\n').length;
    expect(await lines(out)).toBe(await lines(whole));
  });

  // weights are 3.2 kB, slots 9.6 kB: in the weights, in the slots, in the state
  it.each([1000, 7000, 13_200])('after %d bytes of a checkpoint leaves those before, and the run goes on from there', async (bytes) => {
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const [whole, out] = [await temporaryFolder(), await temporaryFolder()];
    const undisturbed = await train({ ...options, engine, out: whole });
    const failed = train({
      ...options,
      engine,
      out,
      onEvent: (event) => {
        if (event.type === 'checkpoint' && event.step === 8) disk.left = bytes;
      },
    });
    await expect(failed).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(failed).rejects.toThrow(/checkpoints[\\/]\.10\.tmp.*: the disk is full$/);
    expect(disk.left).toBe(0);
    // nothing half-written is left, which would only take up room
    expect((await readdir(join(out, 'checkpoints'))).sort()).toEqual(['4', '8']);
    disk.left = Number.POSITIVE_INFINITY;
    const resumed = await train({ ...options, engine, out, resume: true });
    expect(resumed.weights).toEqual(undisturbed.weights);
  });
});
