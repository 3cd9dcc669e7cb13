/** A training in processes of their own, killed three times with SIGKILL at random moments, ends in the bytes of an undisturbed one. The large one: `src/crash-run/main.ts`. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syntheticDataset } from '@coda-nets/train';
import sharp from 'sharp';
import { expect, it, onTestFinished } from 'vitest';
import { crashRun } from '../src/crash-run/crash-run.ts';
import { writeJpegTree } from '../src/crash-run/jpeg-tree.ts';
import { tinyConfig, tinyFiles } from './tiny-training.ts';

/** Five processes, on a busy machine. */
const TIMEOUT_MS = 600_000;
/** The built command: from source each start would take as long as its training. */
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

it(
  'survives kill -9',
  async ({ skip }) => {
    if (!existsSync(main)) skip('needs `pnpm build`');
    const folder = await mkdtemp(join(tmpdir(), 'coda-crash-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const data = join(folder, 'jpegs');
    await writeJpegTree(data, syntheticDataset({ classes: 5, perClass: 6, testPerClass: 1 }), {
      classes: 10,
      perClass: 6,
      testPerClass: 1,
      seed: 3,
    });
    expect(await readdir(join(data, 'train'))).toHaveLength(10);
    const { width, format } = await sharp(join(data, 'train', (await readdir(join(data, 'train')))[9] as string, '0005.jpg')).metadata();
    expect([width >= 300 && width <= 500, format]).toEqual([true, 'jpeg']);
    const { config } = await tinyFiles(folder);
    const path = await config('crash', {
      ...tinyConfig,
      epochs: 4,
      validation: { kind: 'test' },
      augmentation: { kind: 'recipe', crop: { kind: 'random' }, flip: true },
      resize: 40,
      checkpointEverySteps: 3,
    });
    const result = await crashRun({
      command: [process.execPath, main],
      config: path,
      data,
      out: folder,
      kills: 3,
      seed: 5,
      more: ['--workers', '1'],
    });
    expect(result.steps).toBe(28);
    expect(result.killedAt).toHaveLength(3);
    for (const [i, step] of result.resumedAt.entries()) expect(step).toBeLessThanOrEqual(result.killedAt[i] as number);
    expect([result.sameWeights, result.sameMetrics]).toEqual([true, true]);
  },
  TIMEOUT_MS,
);
