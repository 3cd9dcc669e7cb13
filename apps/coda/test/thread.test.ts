/** The whole thread on toy data, without a network: train a stem and a hybrid, kill and resume, explain, export, verify; and what bad input gets. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeSafetensors, encodeNpy, type NdArray } from '@coda-nets/core';
import { readModel, writeModel } from '@coda-nets/core/node';
import { buildNetwork, openModel } from '../src/index.ts';
import { imageInputs } from '../src/image-inputs.ts';
import { explanationFiles } from '../src/write-explanations.ts';
import { encodePng, explainer } from '@coda-nets/depth';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { openDataset, syntheticDataset, train, writeCifar10 } from '@coda-nets/train';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { coda } from './run-coda.ts';

/** Sums over a few thousand float32 products (arXiv 2109.13004: contributions are exact). */
const COMPLETENESS = 1e-5;

let folder = '';
let hybridFile = '';
const resnetConfig = { kind: 'resnet', depth: 8, width: 4 };
const hybridConfig = {
  kind: 'hybrid',
  backbone: resnetConfig,
  cut: 'layer2.0',
  classes: 10,
  head: {
    temperature: 64,
    layers: [
      { out: 8, kernel: 3, stride: 2, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  },
};

beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-thread-'));
  await writeCifar10(join(folder, 'data'), syntheticDataset({ classes: 10, perClass: 20, testPerClass: 4 }));
  const common = { batch: 20, learningRate: 1e-3, checkpointEverySteps: 3, epochs: 2 };
  await writeFile(join(folder, 'resnet.json'), JSON.stringify({ ...common, network: resnetConfig }));
  await writeFile(
    join(folder, 'hybrid.json'),
    JSON.stringify({ ...common, network: hybridConfig, cacheFeatures: true, augmentation: { kind: 'flip' } }),
  );
  const stem = await coda('train', join(folder, 'resnet.json'), '--data', join(folder, 'data'), '--out', join(folder, 'stem'));
  expect(stem.err + stem.out).toContain('finished');
  const head = await coda(
    'train',
    join(folder, 'hybrid.json'),
    '--data',
    join(folder, 'data'),
    '--out',
    join(folder, 'run'),
    '--stem',
    join(folder, 'stem/last.safetensors'),
  );
  expect(head.err + head.out).toContain('finished');
  hybridFile = join(folder, 'run/last.safetensors');
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the thread', () => {
  it('evaluates, predicts and describes a model', async () => {
    const evaluated = JSON.parse((await coda('evaluate', hybridFile, '--data', join(folder, 'data'), '--json')).out);
    expect(evaluated.images).toBe(40);
    expect(evaluated.top1).toBeGreaterThanOrEqual(0);
    const info = JSON.parse((await coda('info', hybridFile, '--json')).out);
    expect(info.taps.filter((tap: { exact: boolean }) => tap.exact).length).toBe(3);
    expect(info.frozen).toBeGreaterThan(0);
    expect(JSON.parse((await coda('engines', '--json')).out).default).toBe('onnxruntime');
  });

  it('exports one file with the explanation inside, which equals the model at batch 1, 3 and 64', async (context) => {
    const file = join(folder, 'hybrid.onnx');
    const apart = ['--opset', '21', '--external-data', '--residuals', '--probabilities'];
    for (const extra of [apart, [], ['--input', 'nchw'], ['--dtype', 'uint8']]) {
      expect((await coda('export', hybridFile, '--out', file, '--explain', ...extra)).code).toBe(0);
      const verified = await coda('verify', file, '--model', hybridFile, '--engine', 'cpu', '--limit', '3', '--json');
      expect(verified.err).not.toContain('error');
      const result = JSON.parse(verified.out);
      expect(Object.keys(result.maps)).toEqual(['input', 'layer2.0', expect.stringMatching(/^head/), expect.stringMatching(/^head/)]);
      expect(result.maxAbsDiff).toBeLessThan(1e-4);
      expect(Object.keys(result.residuals ?? {})).toEqual(extra === apart ? Object.keys(result.maps) : []);
      expect(existsSync(`${file}.data`)).toBe(true);
    }
    const { model } = await openModel(hybridFile);
    const other = join(folder, 'other.safetensors');
    const name = 'stem.layer2.0.conv2.weight';
    const weight = model.weights[name] as NdArray<'float32'>;
    const changed = { ...weight, data: weight.data.map((x) => 2 * x) };
    await writeModel(other, { ...model, weights: { ...model.weights, [name]: changed } });
    const failed = await coda('verify', file, '--model', other, '--engine', 'cpu', '--limit', '1');
    expect([failed.code, failed.err]).toEqual([
      1,
      expect.stringMatching(
        /hybrid\.onnx: the file deviates from its model; expected at most 0\.0001, got \S+\. The first tap that differs is layer2\.0, by \S+: layer1\.0 agrees; look at .*stem\.layer2\.0\.conv2, .*Beside what the model is exported to now, the first value that differs is stem\.layer2\.0\.conv2 \(Conv\), by /,
      ),
    ]);
    const python = ['python3', '/usr/bin/python3'].find((p) => spawnSync(p, ['-c', 'import onnx']).status === 0);
    if (python === undefined) {
      context.skip('no python3-onnx here for onnx.checker');
      return;
    }
    const script = 'import onnx,sys; m=onnx.load(sys.argv[1]); onnx.checker.check_model(m, full_check=True)';
    const checked = spawnSync(python, ['-c', script, file], { encoding: 'utf8' });
    expect(checked.stderr).toBe('');
    expect(checked.status).toBe(0);
  });

  it('is complete at every exact tap, and gradient × input without held weights is not', async () => {
    const { model, network } = await openModel(hybridFile);
    const images = syntheticDataset({ classes: 10, perClass: 1 }).split('train');
    const batch = {
      dtype: 'float32' as const,
      shape: [4, 32, 32, 3],
      data: Float32Array.from(images.images.subarray(0, 4 * 3072), (b) => b / 255),
    };
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const explain = await explainer({ engine, network, weights: model.weights });
    const control = await explainer({ engine, network, weights: model.weights, method: 'inputTimesGradient' });
    const exact = (await explain.explain(batch)).flatMap(({ taps }) => taps.filter((tap) => tap.exact));
    expect(exact.length).toBe(12);
    for (const { residual } of exact) expect(residual).toBeLessThan(COMPLETENESS);
    const wrong = (await control.explain(batch)).flatMap(({ taps }) => taps.filter(({ name }) => name === 'layer2.0'));
    for (const { residual } of wrong) expect(residual).toBeGreaterThan(100 * COMPLETENESS);
    await explain.dispose();
    await control.dispose();
  });

  it('trains the same losses compiled and eagerly over 20 steps', async () => {
    const dataset = await openDataset(join(folder, 'data'));
    const network = buildNetwork(
      {
        kind: 'coda',
        inputShape: [32, 32, 3],
        layers: [
          { out: 4, kernel: 3, stride: 4, rank: 3 },
          { out: 10, kernel: 1, rank: 3 },
        ],
        temperature: 10,
        classes: 10,
      },
      'test',
    );
    const losses: number[][] = [];
    for (const engine of [await onnxRuntimeEngine({ threads: 1 }), eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' })]) {
      const seen: number[] = [];
      const before = tf.memory().numTensors;
      await train({
        network,
        dataset,
        engine,
        out: join(folder, `twenty-${engine.name}`),
        config: { epochs: 1, batch: 10, learningRate: 1e-3, logEverySteps: 1 },
        onEvent: (event) => event.type === 'step' && seen.push(event.loss),
      });
      expect(tf.memory().numTensors).toBe(before);
      losses.push(seen);
    }
    expect(losses[0]?.length).toBe(20);
    for (const [i, loss] of (losses[0] ?? []).entries()) expect(Math.abs(loss - (losses[1]?.[i] as number))).toBeLessThan(1e-4);
  });
});

describe('a long run', () => {
  it('keeps its memory flat over 500 steps', async () => {
    const network = buildNetwork(
      {
        kind: 'coda',
        inputShape: [32, 32, 3],
        layers: [{ out: 10, kernel: 4, stride: 4, padding: 0, rank: 2 }],
        temperature: 10,
        classes: 10,
      },
      'test',
    );
    const seen = new Map<number, number>();
    await train({
      network,
      dataset: await openDataset(join(folder, 'data')),
      engine: await onnxRuntimeEngine({ threads: 1 }),
      out: join(folder, 'long-run'),
      config: { epochs: 25, batch: 10, learningRate: 1e-3, logEverySteps: 100 },
      onEvent: (event) => event.type === 'step' && seen.set(event.step, process.memoryUsage().rss),
    });
    // one leaked copy of a batch a step would be 49 MB over these 400 steps
    expect((seen.get(500) as number) - (seen.get(100) as number)).toBeLessThan(40e6);
  });
});

describe('what bad input gets', () => {
  it('answers each with one clear error and leaves no file behind', async () => {
    const broken = join(folder, 'broken.safetensors');
    await writeFile(broken, await readFile(hybridFile));
    await truncate(broken, 5000);
    const data = join(folder, 'data');
    const config = async (name: string, value: object): Promise<string> => {
      await writeFile(join(folder, name), JSON.stringify(value));
      return join(folder, name);
    };
    const misspelt = await config('misspelt.json', { network: resnetConfig, epochs: 1, learningRat: 1e-3 });
    const cut = await config('cut.json', { network: { ...hybridConfig, cut: 'layer2.9' }, epochs: 1, learningRate: 1e-3 });
    await writeFile(join(folder, 'broken.png'), 'not a picture');
    const cases: readonly (readonly [string[], number, RegExp])[] = [
      [['info', broken], 1, /broken\.safetensors/],
      [['predict', hybridFile, join(folder, 'broken.png')], 1, /broken\.png/],
      [['train', misspelt, '--data', data, '--out', join(folder, 'no1')], 2, /learningRate/],
      [['train', cut, '--data', data, '--out', join(folder, 'no2')], 2, /layer2\.0/],
      [['train', 'hybrid-cifar10-resnet2', '--data', data, '--out', join(folder, 'no3')], 2, /Did you mean hybrid-cifar10-resnet20\?/],
      [['evaluate', hybridFile, '--data', join(folder, 'nowhere')], 2, /nowhere/],
      [['explain', hybridFile, join(folder, 'broken.png'), '--out', join(folder, 'no4')], 1, /broken\.png/],
      [['export', hybridFile, '--out', join(folder, 'no5.onnx'), '--explain', '--taps', 'layer2.1'], 2, /layer2\.0/],
      [['export', hybridFile, '--outt', 'x'], 2, /--out/],
      [['export', hybridFile, '--out', join(folder, 'no7.onnx'), '--residuals'], 2, /--residuals: without --explain there are no maps/],
      [['evaluat', hybridFile], 2, /evaluate/],
      [['export', hybridFile, '--out', join(folder, 'no6.onnx'), '--opset', '9'], 2, /--opset.*Expected 17 or 18/],
      [
        ['predict', join(folder, 'run'), join(folder, 'broken.png')],
        1,
        /run: this is a folder, not a file\. Did you mean .*run\/last\.safetensors\?/,
      ],
      [['info', join(folder, 'run')], 1, /Did you mean .*run\/last\.safetensors\?/],
      [['info', join(folder, 'broken.png')], 1, /broken\.png: this is not a safetensors file/],
    ];
    for (const [args, code, message] of cases) {
      const result = await coda(...args);
      expect([args[0], result.code, result.err]).toEqual([args[0], code, expect.stringMatching(message)]);
      expect(result.err).not.toContain('    at ');
    }
    expect((await readdir(folder)).filter((name) => name.startsWith('no'))).toEqual([]);
  });
});

describe('what a command reads', () => {
  it('is not written over', async () => {
    const inputs = join(folder, 'inputs');
    const [picture, batch, model, targets] = ['cat.png', 'logits.npy', 'model.safetensors', 'input.npy'].map((name) =>
      join(inputs, name),
    ) as [string, string, string, string];
    await mkdir(inputs);
    await writeFile(picture, await encodePng({ width: 32, height: 32, data: new Uint8Array(32 * 32 * 4) }));
    await writeFile(batch, encodeNpy({ dtype: 'uint8', shape: [1, 32, 32, 3], data: new Uint8Array(32 * 32 * 3) }));
    await writeFile(targets, encodeNpy({ dtype: 'int32', shape: [1], data: Int32Array.of(3) }));
    await copyFile(hybridFile, model);
    const link = join(folder, 'link');
    await symlink(inputs, link);
    const before = await Promise.all([picture, batch, model, targets].map((path) => readFile(path)));
    const cases: readonly (readonly [readonly string[], string])[] = [
      [['explain', hybridFile, picture, '--out', inputs], picture],
      [['explain', hybridFile, picture, '--out', link], join(link, 'cat.png')],
      [['explain', hybridFile, inputs, '--out', inputs], picture],
      [['explain', hybridFile, batch, '--out', inputs], batch],
      [['explain', hybridFile, picture, '--target', targets, '--out', inputs], picture],
      [['predict', hybridFile, batch, '--out', batch], batch],
      [['predict', hybridFile, inputs, '--out', picture], picture],
      [['predict', model, picture, '--out', join(link, 'model.safetensors')], join(link, 'model.safetensors')],
      [['export', model, '--out', join(inputs, '..', 'inputs', 'model.safetensors')], model],
    ];
    for (const [args, output] of cases) {
      const { code, err } = await coda(...args);
      expect([code, err]).toEqual([
        2,
        `error: ${args[0]}: --out: ${output} is read by this command and would be overwritten. Choose another place.\n`,
      ]);
    }
    expect(await Promise.all([picture, batch, model, targets].map((path) => readFile(path)))).toEqual(before);
    expect((await readdir(inputs)).sort()).toEqual(['cat.png', 'input.npy', 'logits.npy', 'model.safetensors']);

    const { files } = JSON.parse((await coda('explain', hybridFile, picture, '--out', join(folder, 'explained'), '--json')).out);
    const open = await openModel(hybridFile);
    const taps = open.network.taps.map(({ name }) => name);
    expect(files).toEqual(explanationFiles(join(folder, 'explained'), await imageInputs([picture], open), taps));
  });

  it('a class that several have the name of, or none', async () => {
    const [picture, twoCranes] = [join(folder, 'crane.png'), join(folder, 'cranes.safetensors')];
    await writeFile(picture, await encodePng({ width: 32, height: 32, data: new Uint8Array(32 * 32 * 4) }));
    const classNames = ['crane', 'a', 'b', 'c', 'd', 'e', 'f', 'crane', 'g', 'h'];
    await writeModel(twoCranes, { ...(await readModel(hybridFile)), classNames });
    const explain = async (target: string) => coda('explain', twoCranes, picture, '--target', target, '--out', join(folder, 'cranes'));
    expect(await explain('crane')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/several classes have this name; expected "0" or "7", got "crane"/),
    });
    expect(await explain('i')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/a number from 0 to 9, or one of crane, a, .*, and 2 more, got i/),
    });
  });
});

describe('kill -9 and resume', () => {
  it('ends in the same bits as a run that nobody killed', async (context) => {
    const main = new URL('../dist/main.js', import.meta.url).pathname;
    if (!existsSync(main)) context.skip('the command is not built: pnpm build');
    // 200 images: 10 steps an epoch
    const totalSteps = 40;
    await writeFile(
      join(folder, 'long.json'),
      JSON.stringify({
        network: resnetConfig,
        batch: 20,
        learningRate: 1e-3,
        checkpointEverySteps: 3,
        epochs: 4,
        augmentation: { kind: 'flip-and-crop' },
      }),
    );
    const args = (out: string) => [main, 'train', join(folder, 'long.json'), '--data', join(folder, 'data'), '--out', join(folder, out)];
    const newest = async (): Promise<number> => {
      const names = await readdir(join(folder, 'killed/checkpoints')).catch(() => []);
      return Math.max(0, ...names.filter((name) => /^\d+$/.test(name)).map(Number));
    };
    expect(spawnSync(process.execPath, args('whole')).status).toBe(0);
    let before = 0;
    for (const resume of [[], ['--resume']]) {
      const child = spawn(process.execPath, [...args('killed'), ...resume], { stdio: 'ignore' });
      const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
      // two checkpoints further: the second run has then gone on from what the first one left
      while ((await newest()) < before + 6 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
      child.kill('SIGKILL');
      expect(await ended).toBe('SIGKILL');
      const reached = await newest();
      expect(reached).toBeGreaterThan(before);
      expect(reached).toBeLessThan(totalSteps);
      before = reached;
    }
    const resumed = spawnSync(process.execPath, [...args('killed'), '--resume'], { encoding: 'utf8' });
    expect([resumed.status, resumed.stderr]).toEqual([0, expect.not.stringContaining('error')]);
    expect(await newest()).toBe(totalSteps);
    const weightsOf = async (run: string) => decodeSafetensors(await readFile(join(folder, run, 'last.safetensors')), run).tensors;
    expect(await weightsOf('killed')).toEqual(await weightsOf('whole'));
  }, 180_000);
});
