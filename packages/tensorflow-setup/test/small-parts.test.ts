/** What is read out of names, metadata, the linker's words and the driver's files. */
import { gpuReport, importTfjsNode, planTensorFlow, removeTensorFlow, tensorFlowFolder } from '@coda-nets/tensorflow-setup';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainLoadError } from '../src/explain-load-error.ts';
import { compareVersions, parseWheelName } from '../src/known-wheels.ts';
import { thisMachine } from '../src/machine.ts';
import { cudaRequirements } from '../src/tensorflow-source.ts';
import { setupNote } from './setup-note.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-parts-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('reads what a wheel’s name says', () => {
  expect(parseWheelName('tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl')).toMatchObject({
    version: '2.21.0',
    arch: 'x64',
    glibc: '2.27',
  });
  expect(parseWheelName('tensorflow-2.18.0-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl')).toMatchObject({
    arch: 'arm64',
    glibc: '2.17',
  });
  expect(parseWheelName('nvidia_nccl_cu12-2.21.5-py3-none-manylinux2014_x86_64.whl')).toMatchObject({
    distribution: 'nvidia_nccl_cu12',
    glibc: '2.17',
  });
  expect(parseWheelName('x-1.0-py3-none-any.whl')).toMatchObject({ arch: undefined, glibc: undefined });
  expect(parseWheelName('tensorflow.zip')).toBeUndefined();
});

it('compares versions by their numbers', () => {
  expect(['2.27', '2.9', '2.10.1', '2.10'].toSorted(compareVersions)).toEqual(['2.9', '2.10', '2.10.1', '2.27']);
});

it('finds the libraries of CUDA that a wheel asks for', () => {
  const metadata = [
    'Requires-Dist: numpy>=1.26.0',
    'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
    "Requires-Dist: nvidia-nccl-cu12 (<3.0,>=2.25.1) ; extra == 'and-cuda'",
    'Requires-Dist: tensorflow-io-gcs-filesystem>=0.23; extra == "gcs-filesystem"',
  ].join('\n');
  expect(cudaRequirements(metadata)).toEqual(['nvidia-cublas-cu12<13.0,>=12.5.3.2', 'nvidia-nccl-cu12<3.0,>=2.25.1']);
});

it('is below the cache of the user, or where CODA_TENSORFLOW says', () => {
  expect(tensorFlowFolder({ XDG_CACHE_HOME: '/c' })).toBe('/c/coda-nets/tensorflow');
  expect(tensorFlowFolder({ XDG_CACHE_HOME: '/c', CODA_TENSORFLOW: '/t' })).toBe('/t');
});

it.each([
  ["/lib/libm.so.6: version `GLIBC_2.38' not found", 'it needs a newer C library (GLIBC_2.38) than this machine has'],
  ['/x: undefined symbol: TF_NewWhile', 'binding and TensorFlow do not belong together: TF_NewWhile is missing'],
  [
    'libtensorflow_cc.so.2: cannot open shared object file: No such file or directory',
    'libtensorflow_cc.so.2 is not where the binding was built for',
  ],
  ['/x/tfjs_binding.node: invalid ELF header', 'it was built for another kind of machine'],
  ['/x/libtensorflow_cc.so.2: file too short', 'a library was written in part'],
  ['Error: something else\n at x', 'something else'],
])('explains %s', (said, meant) => {
  expect(explainLoadError(said)).toBe(meant);
});

describe('importTfjsNode', () => {
  it('says how to get it where it is not', async () => {
    await expect(importTfjsNode({ folder: join(folder, 'none'), lookup: [folder] })).rejects.toThrow(
      /^engine tensorflow: neither @tensorflow\/tfjs-node-gpu nor @tensorflow\/tfjs-node is set up or installed: `coda setup tensorflow( --gpu)?` does it$/,
    );
  });

  it('says what is wrong with one that does not load, and goes on', async () => {
    const broken = join(folder, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
    const unbuilt = join(folder, 'node_modules', '@tensorflow', 'tfjs-node');
    for (const path of [broken, unbuilt]) {
      await mkdir(join(path, 'lib', 'napi-v8'), { recursive: true });
      await writeFile(join(path, 'package.json'), '{ "name": "x", "version": "1.0.0", "main": "index.js" }');
    }
    await writeFile(join(broken, 'index.js'), "require('./lib/napi-v8/tfjs_binding.node')");
    await writeFile(join(broken, 'lib', 'napi-v8', 'tfjs_binding.node'), 'this is no library');
    await expect(importTfjsNode({ folder: join(folder, 'none'), lookup: [folder] })).rejects.toThrow(
      `engine tensorflow: it is here and cannot be used (${broken}: a library was written in part; ${unbuilt}: its binding is not built): \`coda setup tensorflow\` sets up one that can`,
    );
  });

  it.each([
    ['is no JSON', '{', 'not a note of `coda setup tensorflow`. Delete this file and set TensorFlow up again.'],
    ['names no package of ours', JSON.stringify({ ...setupNote, package: '..' }), 'not a note of `coda setup tensorflow`'],
    ['tells no version', JSON.stringify({ ...setupNote, tensorflow: 9 }), 'not a note of `coda setup tensorflow`'],
    [
      'lies in another folder',
      JSON.stringify(setupNote),
      'the note of another package than the one it is in; expected @tensorflow/tfjs-node, got my-app. Delete this file',
    ],
  ])('refuses a note that %s, for loading and for removal', async (_, text, message) => {
    await mkdir(join(folder, 'deps'));
    await writeFile(join(folder, 'deps', 'coda-nets.json'), text);
    await writeFile(join(folder, 'package.json'), '{ "name": "my-app" }');
    await expect(importTfjsNode({ folder, lookup: [] })).rejects.toThrow(`coda-nets.json: ${message}`);
    await expect(removeTensorFlow(folder)).rejects.toThrow(`coda-nets.json: ${message}`);
    expect(await readdir(folder)).toEqual(['deps', 'package.json']);
  });
});

describe('a folder that is more than a setup’s', () => {
  const own = { private: true, description: 'coda setup tensorflow', dependencies: { '@tensorflow/tfjs-node': '4.22.0' } };
  const built = (): string => join(folder, 'app', 'node_modules', '@tensorflow', 'tfjs-node');
  beforeEach(async () => {
    await mkdir(join(built(), 'deps'), { recursive: true });
    await writeFile(join(built(), 'package.json'), '{ "name": "@tensorflow/tfjs-node", "version": "4.22.0" }');
    await writeFile(join(built(), 'deps', 'coda-nets.json'), JSON.stringify(setupNote));
  });

  it.each<[string, Record<string, string>]>([
    ['a file of one’s own', { 'src.js': 'mine', 'package.json': JSON.stringify(own) }],
    ['no package.json', {}],
    ['a package.json of one’s own', { 'package.json': JSON.stringify({ private: true, dependencies: own.dependencies }) }],
    ['a script', { 'package.json': JSON.stringify({ ...own, scripts: { start: 'node x' } }) }],
    ['another dependency', { 'package.json': JSON.stringify({ ...own, dependencies: { ...own.dependencies, left: '1.0.0' } }) }],
  ])('with %s is neither replaced nor removed', async (_, files) => {
    const app = join(folder, 'app');
    for (const [name, text] of Object.entries(files)) await writeFile(join(app, name), text);
    const before = (await readdir(app)).sort();
    const hint = `Name the package itself: --to ${built()}.`;
    await expect(removeTensorFlow(app)).rejects.toThrow(
      `setup tensorflow: --remove --to ${app}: something else is there too, which would be removed with it. ${hint}`,
    );
    const machine = { ...thisMachine(), platform: 'linux', arch: 'x64', glibc: '2.36' };
    await expect(planTensorFlow({ to: app, machine })).rejects.toThrow(hint);
    expect((await readdir(app)).sort()).toEqual(before);
    expect(await readdir(folder)).toEqual(['app']);
  });

  it('goes as a whole where it is a setup’s alone', async () => {
    await writeFile(join(folder, 'app', 'package.json'), JSON.stringify(own));
    await removeTensorFlow(join(folder, 'app'));
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('gpuReport', () => {
  const version = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n';
  const open = 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n';
  const whole = {
    'proc/driver/nvidia/version': version,
    'proc/driver/nvidia/gpus/0000:01:00.0/information': 'Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n',
    'usr/lib/x86_64-linux-gnu/libcuda.so.1': '',
    'dev/nvidiactl': '',
  };
  const without = (...names: string[]) =>
    Object.fromEntries(Object.entries(whole).filter(([name]) => !names.some((one) => name.startsWith(one))));

  it.each<[string, Record<string, string>, NodeJS.ProcessEnv, string | undefined]>([
    ['a whole driver', whole, {}, undefined],
    ['an open driver', { ...whole, 'proc/driver/nvidia/version': open }, {}, undefined],
    ['nothing', {}, {}, 'no NVIDIA driver (no /proc/driver/nvidia, no libcuda.so.1)'],
    [
      'a library without the driver',
      without('proc'),
      {},
      'the NVIDIA driver is not loaded (libcuda.so.1 is there, /proc/driver/nvidia is not): `nvidia-smi` tells more',
    ],
    [
      'a container that was started without',
      without('usr'),
      {},
      'NVIDIA’s driver 550.54.14 runs, but its libcuda.so.1 is not to be seen: a container has to be started with --gpus all, elsewhere install libcuda1',
    ],
    [
      'an old driver',
      { ...whole, 'proc/driver/nvidia/version': version.replace('550.54.14', '470.82.01') },
      {},
      'NVIDIA’s driver 470.82.01 is too old for CUDA 12, which needs 525.60.13 or later',
    ],
    ['a driver without a GPU', without('proc/driver/nvidia/gpus'), {}, 'NVIDIA’s driver finds no GPU'],
    [
      'no device files',
      without('dev'),
      {},
      'the GPU’s device files (/dev/nvidia…) are missing: a container has to be started with --gpus all',
    ],
    ['hidden ones', whole, { CUDA_VISIBLE_DEVICES: '' }, 'CUDA_VISIBLE_DEVICES is "", which hides every GPU'],
    ['Windows’ driver', { 'usr/lib/wsl/lib/libcuda.so.1': '', 'dev/dxg': '' }, {}, undefined],
  ])('with %s', async (_, files, environment, problem) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const report = gpuReport({ root: folder, environment });
    expect(report.problem).toBe(problem);
    if (problem === undefined && 'dev/nvidiactl' in files)
      expect(report).toMatchObject({ gpus: ['NVIDIA H100 80GB HBM3'], driver: '550.54.14' });
  });
});
