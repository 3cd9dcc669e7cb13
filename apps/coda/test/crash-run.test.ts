/** A training in processes of their own, killed three times with SIGKILL at random moments, ends in the bytes of an undisturbed one. The large one: `src/crash-run/main.ts`. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syntheticDataset } from '@coda-nets/train';
import sharp from 'sharp';
import { expect, it, onTestFinished } from 'vitest';
import { crashRun, killMoments } from '../src/crash-run/crash-run.ts';
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
    const options = {
      command: [process.execPath, main],
      config: path,
      data,
      out: folder,
      kills: 3,
      seed: 5,
      more: ['--workers', '1'],
    } as const;
    const result = await crashRun(options);
    expect(result.steps).toBe(28);
    expect(result.kills).toHaveLength(3);
    for (const [i, { step, resumesAt }] of result.kills.entries()) {
      // each part comes further than the one before
      expect(step).toBeGreaterThan(result.kills[i - 1]?.step ?? 0);
      expect(step).toBeLessThanOrEqual(28);
      expect(resumesAt).toBeLessThanOrEqual(step);
    }
    expect([result.sameWeights, result.sameMetrics]).toEqual([true, true]);
    // called again, it repeats no part
    const { mtimeMs } = await stat(join(folder, 'undisturbed', 'last.safetensors'));
    const again = await crashRun(options);
    expect(again.kills).toEqual(result.kills);
    expect((await stat(join(folder, 'undisturbed', 'last.safetensors'))).mtimeMs).toBe(mtimeMs);
    await expect(crashRun({ ...options, seed: 6 })).rejects.toThrow(
      `${join(folder, 'progress.json')}: a crash run with other options was begun here. Choose an empty folder, or call it as it was called.`,
    );
  },
  TIMEOUT_MS,
);

it('kills in stretches of their own that leave room before the end', () => {
  for (const [steps, kills] of [
    [4, 2],
    [28, 3],
    [262, 3],
    [1000, 7],
  ] as const) {
    const moments = killMoments(steps, kills, 1);
    expect(moments).toHaveLength(kills);
    for (const [i, { from, to }] of moments.entries()) {
      expect(from).toBe((moments[i - 1]?.to ?? 0) + 1);
      expect(to).toBeGreaterThanOrEqual(from);
      expect(to).toBeLessThanOrEqual(steps - Math.max(2, steps / 8));
    }
  }
  expect(() => killMoments(4, 3, 1)).toThrow('crash run: kills: a run of 4 steps is too short; expected at most 2, got 3');
});
