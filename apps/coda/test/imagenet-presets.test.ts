/** The ImageNet presets as a call of `coda train` makes them: for the processes there are, and for a run that goes on. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { syntheticDataset, type ImageDataset } from '@coda-nets/train';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTraining } from '../src/prepare-training.ts';

const preset = 'hybrid-resnet50-layer3-coda4';
const synthetic = syntheticDataset({ classes: 3, perClass: 128, testPerClass: 1, size: 32 });
/** Images in files come in any size. */
const { inputShape: _, ...rest } = synthetic;
const dataset = { ...rest, split: (name) => synthetic.split(name) } as ImageDataset;
let out = '';
beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), 'coda-imagenet-'));
});
afterAll(() => rm(out, { recursive: true, force: true }));

describe('a preset for ImageNet', () => {
  it.each([
    [undefined, 90],
    [{ size: 4 }, 23],
  ] as const)('of processes %o warms up for a quarter of its updates', async (group, warmup) => {
    const { config } = await prepareTraining({
      preset,
      data: 'x',
      dataset,
      out,
      size: 64,
      overrides: { batch: 16, epochs: 15 },
      ...(group && { group }),
    });
    // 384 images: 24 steps an epoch of one process, 6 of four
    expect(config.schedule).toMatchObject({ warmup });
  });

  it('goes on with its classes and its size where neither is named again', async () => {
    const first = { preset, data: 'x', dataset, out };
    const { config } = await prepareTraining({ ...first, size: 64, overrides: { classes: 2, batch: 16 } });
    await writeFile(join(out, 'config.json'), JSON.stringify(config));
    const again = await prepareTraining({ ...first, resume: true });
    expect(again.config).toEqual(config);
    expect(again.network.classes).toBe(2);
  });
});
