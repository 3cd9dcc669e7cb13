/** What `coda train` does beside training: maps of the same images, the run's report, the dry run; and `coda sweep`. */
import { readModel } from '@coda-nets/core/node';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseHTML } from 'linkedom';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMetrics } from '../src/report/read-metrics.ts';
import { beginnings, coda, codaInterruptedAt } from './run-coda.ts';
import { tinyConfig, tinyFiles, type TinyFiles } from './tiny-training.ts';

/** What float32 leaves of an exact sum; weights are barely trained, so that contributions cancel each other more than in earnest. */
const RESIDUAL = 1e-4;

/** Six trainings' worth of starts, on a busy machine. */
const SWEEP_MS = 180_000;

let folder = '';
let files: TinyFiles;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-operations-'));
  files = await tinyFiles(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a training', () => {
  it('leaves maps of the same images after each epoch, with their residual, and a report of all that', async () => {
    const run = join(folder, 'run');
    const config = await files.config('maps', { explainImages: 3 });
    const { code, out, err } = await coda('train', config, '--data', files.data, '--out', run);
    expect([code, err]).toEqual([0, expect.stringMatching(beginnings)]);
    expect(out).toContain(`report: ${run}/report.html`);
    const { explanations, epochs, steps } = await readMetrics(run);
    expect(explanations).toMatchObject([
      { step: 6, epoch: 1, images: [0, 3, 6], taps: ['layer2.0', 'head.0', 'head.1', 'head.2'] },
      { step: 12, epoch: 2 },
    ]);
    for (const { residual } of explanations) expect(residual).toBeLessThan(RESIDUAL);
    expect(await readdir(join(run, 'maps'))).toEqual(['epoch-001', 'epoch-002']);
    const [first, second] = await Promise.all(['epoch-001', 'epoch-002'].map((epoch) => readdir(join(run, 'maps', epoch))));
    expect(first).toHaveLength(3);
    expect(second).toEqual(first);
    // the image and a tile for each exact tap
    const png = join(run, 'maps/epoch-002', first?.[0] as string);
    const { width, height } = await sharp(png).metadata();
    expect(width).toBeGreaterThan(4 * height);

    const html = await readFile(join(run, 'report.html'), 'utf8');
    const { document } = parseHTML(html);
    expect([...document.querySelectorAll('script, link, iframe')]).toEqual([]);
    const pictures = [...document.querySelectorAll('img')].map((image) => image.getAttribute('src') ?? '');
    expect(pictures).toHaveLength(6);
    expect(pictures).toContain(`data:image/png;base64,${(await readFile(png)).toString('base64')}`);
    expect([...document.querySelectorAll('figcaption')].map((x) => x.textContent)).toEqual([
      'Accuracy',
      'Loss',
      'Loss of training steps',
      'Learning rate',
      'Images a second',
      'Alignment: median cosine of weight and input, by layer',
      'Completeness residual, worst, as a power of ten',
    ]);
    expect(html).not.toMatch(/undefined|NaN/);
    expect(document.querySelector('pre')?.textContent).toContain('"explainImages": 3');
    expect([epochs.length, steps.length]).toEqual([2, 12]);
  });

  it('of a network without a dynamic linear part says that there are no maps, and has its report', async () => {
    const run = join(folder, 'plain');
    const config = await files.config('plain', { network: { kind: 'resnet', depth: 8, width: 4 }, epochs: 1 });
    const { code, out } = await coda('train', config, '--data', files.data, '--out', run);
    expect([code, out.split('No contribution maps: no part of this network is dynamic linear').length]).toEqual([0, 2]);
    expect(existsSync(join(run, 'maps'))).toBe(false);
    expect(await readFile(join(run, 'report.html'), 'utf8')).toContain('resnet on');
    // the preset's size is its own
    const sized = await coda('train', config, '--data', files.data, '--out', join(folder, 'no'), '--size', '64');
    expect([sized.code, sized.err]).toEqual([
      2,
      expect.stringMatching(/^reading \S+ …\nerror: train: --size: .*plain\.json has its size; expected a preset for ImageNet/),
    ]);
  });
});

describe('--dry-run', () => {
  const temporary = async (): Promise<string[]> => (await readdir(tmpdir())).filter((name) => name.startsWith('coda-dry-run-'));

  it.each([
    ['a trained stem', 'dry', {}, []],
    [
      'kept features',
      'dry-kept',
      { network: { ...tinyConfig.network, stem: 'frozen' }, cacheFeatures: true, augmentation: { kind: 'flip' } },
      ['--stem'],
    ],
  ] as const)('plans a training with %s and writes nothing', async (_, name, change, stem) => {
    const before = await temporary();
    const config = await files.config(name, change as Partial<typeof tinyConfig>);
    const out = join(folder, name);
    const call = [
      'train',
      config,
      '--data',
      files.data,
      '--out',
      out,
      '--epochs',
      '40',
      ...(stem.length > 0 ? ['--stem', files.stem] : []),
    ];
    const { code, out: text } = await coda(...call, '--dry-run', '--json');
    expect(code).toBe(0);
    const plan = JSON.parse(text);
    // 50 images beside 10 held out
    expect(plan).toMatchObject({ trainImages: 50, validationImages: 10, stepsPerEpoch: 6, totalSteps: 240, epochs: 40, measuredSteps: 10 });
    expect(plan.totalSeconds).toBeCloseTo(plan.featureSeconds + 240 * plan.stepSeconds + plan.validationSeconds, 6);
    expect(plan.featureSeconds > 0).toBe(stem.length > 0);
    // float32 of 16 × 16 × 8, of 50 images and their mirror images and of the 10 held out
    expect(plan.featureBytes).toBe(stem.length > 0 ? 4 * 16 * 16 * 8 * 110 : 0);
    expect(plan.stepSeconds).toBeGreaterThan(0);
    expect(plan.slowestStepSeconds).toBeGreaterThanOrEqual(plan.stepSeconds);
    // weights and Adam's two moments of the trained ones, as float32, and a header
    const numbers = 3 * plan.network.parameters + plan.network.frozen + plan.network.statistics;
    expect(plan.checkpointBytes).toBeGreaterThan(4 * numbers);
    expect(plan.checkpointBytes).toBeLessThan(4 * numbers + 40_000);
    expect(plan.peakBytes).toBeGreaterThan(plan.network.memory.training);
    expect([existsSync(out), await temporary()]).toEqual([false, before]);
  });

  it('has as many images as an update of many batches needs, and says where it would be refused', async () => {
    const config = await files.config('update', {
      network: { ...tinyConfig.network, stem: 'frozen' },
      cacheFeatures: true,
      batch: 4,
      accumulate: 12,
      epochs: 1,
      optimiser: { kind: 'sgd', momentum: 0 },
    });
    const out = join(folder, 'there');
    const call = ['train', config, '--data', files.data, '--out', out, '--stem', files.stem, '--dry-run'];
    const first = await coda(...call, '--json');
    expect(first.code).toBe(0);
    const plan = JSON.parse(first.out);
    expect(plan).toMatchObject({ totalSteps: 12, measuredSteps: 10 });
    // the sums of gradients, and nothing of the optimiser
    expect(plan.network.memory.slots).toBe(1);
    await mkdir(out);
    await writeFile(join(out, 'config.json'), JSON.stringify(plan.config));
    const second = await coda(...call);
    expect(second.out).toContain(`this training would be refused: ${out}: there is a run in this folder already. Go on with it with`);
    await rm(join(out, 'config.json'));
    await mkdir(join(out, 'checkpoints', '12'), { recursive: true });
    expect((await coda(...call)).out).toContain(
      `this training would be refused: ${join(out, 'checkpoints')}: there is a checkpoint of another run in this folder, of step 12. `,
    );
  });

  it('knows of limits, of training images and of the test split', async () => {
    const config = await files.config('limited', { validation: { kind: 'test' }, epochs: 1 });
    const call = ['train', config, '--data', files.data, '--out', join(folder, 'limited')];
    const { out } = await coda(...call, '--limit', '16', '--validation-limit', '7', '--dry-run', '--json');
    expect(JSON.parse(out)).toMatchObject({ trainImages: 16, validationImages: 7 });
  });

  it('plans what is left of a run that would go on, and is refused as that would be', async () => {
    const out = join(folder, 'half');
    const stem = join(folder, 'half-stem.safetensors');
    await copyFile(files.stem, stem);
    const config = await files.config('half', { explainEvery: 0, network: { ...tinyConfig.network, stem: 'frozen' } });
    expect((await coda('train', config, '--data', files.data, '--out', out, '--stem', stem)).code).toBe(0);
    const kept = await readFile(join(out, 'config.json'), 'utf8');
    const plan = async (...more: string[]) => coda('train', '--data', files.data, '--out', out, '--resume', '--dry-run', ...more);

    const finished = await plan();
    expect([finished.code, finished.out]).toEqual([
      0,
      expect.stringContaining(`the run in ${out} is finished, at step 12 of 12: nothing is left to do.\n`),
    ]);
    const refused = await plan('--lr', '1');
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('learningRate: the run to resume has another value')]);
    const shorter = await plan('--epochs', '1');
    expect([shorter.code, shorter.err]).toEqual([2, expect.stringContaining('epochs: the run to resume is in epoch 2 already')]);
    // its weights are in the checkpoint
    await rm(stem);
    const longer = await plan('--epochs', '6', '--json');
    const left = JSON.parse(longer.out);
    expect(left).toMatchObject({ step: 12, totalSteps: 36 });
    expect(left.totalSeconds).toBeCloseTo(24 * left.stepSeconds + left.validationSeconds, 6);
    expect(longer.err).toContain('steps: 6 an epoch of batch 8, 36 in 6 epochs, of which 12 are done\n');
    expect(await readFile(join(out, 'config.json'), 'utf8')).toBe(kept);
  });

  it('says it in lines', async () => {
    const { out, code } = await coda('train', await files.config('dry'), '--data', files.data, '--out', join(folder, 'dry'), '--dry-run');
    expect(code).toBe(0);
    for (const line of [
      /^network: hybrid, [\d,]+ trained numbers, 0 frozen, [\d.]+ million/m,
      /^data: 50 training images, 10 validation images$/m,
      /^steps: 6 an epoch of batch 8, 12 in 2 epochs$/m,
      /^a step: .* the median of 10;/m,
      /^time: .*\(steps .*, validations .*\)/m,
      /^end: /m,
      /^memory: /m,
      /^disk: .* three checkpoints of /m,
      /^nothing was written\.$/m,
    ]) {
      expect(out).toMatch(line);
    }
  });
});

describe('coda sweep', () => {
  it(
    'trains every cut once, goes on where it was interrupted, and compares',
    async () => {
      const out = join(folder, 'sweep');
      const config = await files.config('sweep', { epochs: 1 });
      const call = ['sweep', config, '--data', files.data, '--out', out];
      const first = await codaInterruptedAt(/^\nlayer2: /, ...call);
      expect([first.code, first.out]).toEqual([
        1,
        expect.stringContaining(`interrupted; go on with: coda sweep ${config} --data ${files.data} --out ${out}\n`),
      ]);
      expect(existsSync(join(out, 'results.json'))).toBe(false);
      const model = join(out, 'layer1/last.safetensors');
      const { mtimeMs } = await stat(model);
      const second = await coda(...call, '--json');
      expect(second.code).toBe(0);
      expect((await stat(model)).mtimeMs).toBe(mtimeMs);
      const { cuts } = JSON.parse(second.out);
      expect(cuts).toMatchObject([
        { cut: 'layer1', tap: 'layer1.0', epochs: 1 },
        { cut: 'layer2', tap: 'layer2.0' },
        { cut: 'layer3', tap: 'layer3.0' },
      ]);
      // the deeper the cut, the more of the ResNet is in it
      expect(cuts.map(({ trained }: { trained: number }) => trained)).toEqual(
        cuts.map(({ trained }: { trained: number }) => trained).toSorted((a: number, b: number) => a - b),
      );
      for (const { run, validationAccuracy, tap } of cuts) {
        expect(validationAccuracy).toBeGreaterThanOrEqual(0);
        expect((await readModel(join(run, 'last.safetensors'))).config).toMatchObject({ cut: tap });
      }
      expect(JSON.parse(await readFile(join(out, 'results.json'), 'utf8'))).toEqual({ data: files.data, cuts });
      const csv = (await readFile(join(out, 'results.csv'), 'utf8')).trimEnd().split('\n');
      expect(csv.map((line) => line.split(',').length)).toEqual([12, 12, 12, 12]);
      const third = await coda(...call);
      expect([third.code, third.out]).toEqual([
        0,
        expect.stringMatching(/\ncut +validation +trained +frozen +multiply-adds +memory +time +depth\n/),
      ]);
      // what was trained is told of even where depth cannot be measured
      await rm(join(out, 'results.json'));
      await writeFile(join(out, 'depth'), 'no folder');
      expect((await coda(...call, '--grids', '1')).code).not.toBe(0);
      expect(JSON.parse(await readFile(join(out, 'results.json'), 'utf8'))).toEqual({ data: files.data, cuts });
      const other = await coda(...call, '--batch', '4');
      expect([other.code, other.err]).toEqual([
        2,
        expect.stringContaining('layer1/config.json: batch: the run to resume has another value; expected 8, got 4'),
      ]);
    },
    SWEEP_MS,
  );

  it('refuses grids without a test split before it trains anything', async () => {
    const [data, out] = [join(folder, 'classes'), join(folder, 'no-test')];
    await mkdir(join(data, 'a'), { recursive: true });
    await sharp({ create: { width: 32, height: 32, channels: 3, background: 'teal' } }).toFile(join(data, 'a/0.png'));
    const config = await files.config('sweep', { epochs: 1, batch: 1, validation: { kind: 'none' } });
    const { code, err } = await coda('sweep', config, '--data', data, '--out', out, '--grids', '4');
    expect([code, err]).toEqual([
      2,
      `error: sweep: --grids: ${data}: this data set has no test split; expected a folder val, validation, test beside train, or shards of those names. Without --grids none is needed.\n`,
    ]);
    expect(existsSync(out)).toBe(false);
  });

  it('refuses a cut that cannot be before it trains anything, and what has no cut', async () => {
    const out = join(folder, 'refused');
    const config = await files.config('sweep', { epochs: 1 });
    const bad = await coda('sweep', config, '--data', files.data, '--out', out, '--cuts', 'layer1,layer5');
    expect([bad.code, bad.err]).toEqual([
      2,
      expect.stringMatching(
        /^error: \S+sweep\.json: cut "layer5": ResNet-8 has no such tap to be cut at; expected one of conv1, layer1\.0, .*got "layer5"/,
      ),
    ]);
    const noCut = await files.config('no-cut', { network: { kind: 'resnet', depth: 8 } });
    for (const cuts of [[], ['--cuts', 'layer1']]) {
      const plain = await coda('sweep', noCut, '--data', files.data, '--out', out, ...cuts);
      expect([plain.code, plain.err]).toEqual([
        2,
        expect.stringMatching(/^error: \S+no-cut\.json: not a hybrid, so there is no cut to move; got kind "resnet"\n$/),
      ]);
    }
    expect(existsSync(out)).toBe(false);
  });
});
