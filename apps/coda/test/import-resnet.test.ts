/** From a state dict of a ResNet, as PyTorch saves it, to logits by the command line alone, against PyTorch in float64. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeNpy, decodeSafetensors, encodeNpy, encodeSafetensors, initWeights, ndArray, Random } from '@coda-nets/core';
import { exportStateDict, resnet, type ResnetOptions } from '@coda-nets/resnet';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/index.ts';
import { coda } from './run-coda.ts';

/** float32 here, float64 there, through 18 layers. */
const tolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

const golden = (name: string): string => fileURLToPath(new URL(`../../../packages/resnet/test/goldens/${name}`, import.meta.url));
const state = golden('state-dict.safetensors');
const config: ResnetOptions = { kind: 'resnet', design: 'imagenet', depth: 18, width: 2, classes: 3, inputShape: [47, 38, 3] };
let folder = '';
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-import-resnet-'));
  await writeFile(at('tiny.json'), JSON.stringify(config));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(['torchvision', 'timm'])('a state dict of %s', (format) => {
  it('becomes a model that predicts PyTorch’s logits', async () => {
    const { code, out } = await coda('import', state, '--format', format, '--config', at('tiny.json'), '--out', at(format), '--json');
    expect(code).toBe(0);
    expect((JSON.parse(out) as { provenance: object }).provenance).toMatchObject({ importedFrom: 'state-dict.safetensors', format });
    const { seed } = JSON.parse(await readFile(golden('resnet.manifest.json'), 'utf8')) as { seed: number };
    const expected = JSON.parse(await readFile(golden('state-dict.json'), 'utf8')) as { size: [number, number]; logits: number[][] };
    const shape = [2, ...expected.size, 3];
    await writeFile(at('batch.npy'), encodeNpy(ndArray('float32', shape, randomValues(2 * 47 * 38 * 3, seed - 1, { min: 0 }))));
    expect((await coda('predict', at(format), at('batch.npy'), '--out', at('logits.npy'))).code).toBe(0);
    const { data } = decodeNpy(await readFile(at('logits.npy')), 'logits.npy');
    expectClose(tf.tensor2d(data as Float32Array, [2, 3]), expected.logits, tolerance);
  });

  it('comes back as it was, batch counts and all', async () => {
    const { model } = await openModel(at(format));
    const before = decodeSafetensors(await readFile(state), state).tensors;
    expect(exportStateDict(model.weights, config)).toEqual(before);
  });
});

it('a preset with a set of weights gets its preprocessing, source and licence', async () => {
  const { weights } = resnet({ kind: 'resnet', design: 'imagenet', depth: 18 });
  const tensors = exportStateDict(initWeights({ weights }, Random.seeded(1)), { kind: 'resnet', design: 'imagenet', depth: 18 });
  await writeFile(at('resnet18.safetensors'), encodeSafetensors(tensors));
  const args = ['import', at('resnet18.safetensors'), '--format', 'torchvision', '--config', 'resnet18', '--weights', 'IMAGENET1K_V1'];
  expect((await coda(...args, '--out', at('resnet18'))).code).toBe(0);
  const { model } = await openModel(at('resnet18'));
  expect(model.preprocessing).toEqual({ size: [224, 224], layout: 'rgb', range: [0, 1], resize: 256, interpolation: 'bilinear' });
  const url = 'https://download.pytorch.org/models/resnet18-f37072fd.pth';
  expect(model.provenance).toMatchObject({ weights: 'IMAGENET1K_V1', url });
  expect(model.card).toMatchObject({
    licence: expect.stringContaining('BSD-3-Clause'),
    source: url,
    accuracy: [
      { metric: 'top-1', value: 0.69758, on: expect.stringContaining('shorter side 256, cut to 224 × 224; as published') },
      { metric: 'top-5', value: 0.89078 },
    ],
  });
  const info = await coda('info', at('resnet18'));
  expect(info.out).toMatch(
    /accuracy: top-1 69\.76 % \(ImageNet, .*\n(.*\n)*licence: torchvision: BSD-3-Clause; .*\nlimit: knows the 1000 classes/,
  );

  // another size, another crop, another interpolation, and an accuracy at yet another size
  const timm = ['import', at('resnet18.safetensors'), '--format', 'timm', '--config', 'resnet18', '--weights', 'resnet18.a1_in1k'];
  expect((await coda(...timm, '--out', at('resnet18-a1'))).code).toBe(0);
  const a1 = await openModel(at('resnet18-a1'));
  expect(a1.model.preprocessing).toMatchObject({ size: [224, 224], resize: 235, interpolation: 'bicubic' });
  expect(a1.model.card?.accuracy[0]).toMatchObject({ value: 0.73158, on: expect.stringContaining('shorter side 288, cut to 288 × 288') });
  expect((await coda(...timm.slice(0, -1), 'a3_in1k', '--out', at('resnet18-a3'))).code).toBe(0);
  const a3 = await openModel(at('resnet18-a3'));
  expect([a3.model.preprocessing.size, a3.network.inputShape]).toEqual([
    [160, 160],
    [160, 160, 3],
  ]);
}, 60_000);

it('answers what is wrong with one clear error and writes nothing', async () => {
  const tv = ['--format', 'torchvision'];
  await writeFile(at('net.pth'), 'PK\u0003\u0004 and so on');
  await writeFile(at('coda.json'), JSON.stringify({ kind: 'coda' }));
  const cases: readonly (readonly [string[], number, RegExp])[] = [
    [[state, ...tv], 2, /--config: missing; expected one of resnet20-cifar10, .*resnet50, .*, or a JSON file/],
    [
      [state, ...tv, '--config', 'resnet18'],
      1,
      /mismatched conv1\.weight \(expected float32 \[64, 3, 7, 7\], got float32 \[2, 3, 7, 7\]\), .*, and \d+ more/,
    ],
    [[state, ...tv, '--config', 'resnet50'], 1, /missing .*conv3\.weight.*; unexpected|missing .*; mismatched/],
    [[state, ...tv, '--config', 'hybrid-cifar10-resnet20'], 2, /kind: no config of a ResNet; expected "resnet", got "hybrid"/],
    [[at('net.pth'), ...tv, '--config', 'resnet18'], 1, /net\.pth: a pickle file of PyTorch.*\n +import torch, safetensors\.torch; /],
    [[state, '--format', 'torchvison', '--config', 'resnet18'], 2, /Did you mean torchvision\?/],
    [
      [state, ...tv, '--config', 'resnet18', '--weights', 'IMAGENET1K_V2'],
      2,
      /torchvision has no such set of weights of resnet18; expected IMAGENET1K_V1, got IMAGENET1K_V2/,
    ],
    [
      [state, ...tv, '--config', at('tiny.json'), '--weights', 'IMAGENET1K_V2'],
      2,
      /--weights: goes with a preset as --config; expected resnet18, /,
    ],
    [
      [state, '--format', 'timm', '--config', 'resnet18', '--weights', 'a1_in1'],
      2,
      /timm has no such set of weights of resnet18; expected a1_in1k, a2_in1k, a3_in1k, tv_in1k, got a1_in1\. Did you mean a1_in1k\?/,
    ],
    [[state, '--format', 'timm', '--config', 'resnet18', '--weights', '__proto__'], 2, /timm has no such set of weights/],
  ];
  for (const [i, [args, code, message]] of cases.entries()) {
    const result = await coda('import', ...args, '--out', at(`no${i}`));
    expect([i, result.code, result.err]).toEqual([i, code, expect.stringMatching(message)]);
    expect(result.err).not.toContain('    at ');
  }
  expect((await readdir(folder)).filter((name) => /^no\d/.test(name))).toEqual([]);
});
