/** A setup from the first check to a binding that computes, and back; and that one that fails or is ended changes nothing. */
import { importTfjsNode, planTensorFlow, removeTensorFlow, findInstallation } from '@coda-nets/tensorflow-setup';
import * as tf from '@tensorflow/tfjs-core';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { swapIn } from '../src/swap-in.ts';
import { compileLibrary, fakeMachine, fakePackage, fakeTensorFlow, hasCompiler, wheelOf, type FakeTensorFlow } from './fake-tensorflow.ts';

let [made, folder] = ['', ''];
let fake: FakeTensorFlow;
const target = (): string => join(folder, 'tensorflow');
const packageIn = (root: string, name = 'tfjs-node'): string => join(root, 'node_modules', '@tensorflow', name);

const host = hostname().replaceAll(/[^\w.-]/g, '_');

const here = hasCompiler && process.platform === 'linux' && process.arch === 'x64';

describe.skipIf(!here)(`a setup${here ? '' : ' (SKIPPED: no g++ on Linux x64)'}`, () => {
  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'coda-fake-tensorflow-'));
    fake = await fakeTensorFlow(made);
  });
  afterAll(() => rm(made, { recursive: true }));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'coda-setup-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('says what it will do, does it, is found and loaded, and is undone', async () => {
    const machine = fakeMachine({ wheels: { 'tensorflow-cpu': fake.wheel } });
    const plan = await planTensorFlow({ to: target(), machine });
    expect(plan.steps).toEqual([
      'fetch tensorflow-cpu 2.21.0 from the Python package index with pip 99.0',
      'take libtensorflow and its headers out of the wheel, each file checked against its hash',
      'install @tensorflow/tfjs-node 4.22.0 from npm, unmodified, its install script not run',
      expect.stringMatching(/^compile its binding with g\+\+/),
      `try it, and put it into ${target()}`,
    ]);
    expect(await readdir(folder)).toEqual([]);
    const steps: string[] = [];
    const { manifest } = await plan.carryOut({ onStep: (step) => steps.push(step) });
    expect(manifest).toMatchObject({
      tensorflow: '9.9.9',
      gpu: false,
      package: '@tensorflow/tfjs-node',
      sourceSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(manifest.libraries.map(({ name }) => name)).toEqual(['libtensorflow_framework.so.2', 'libtensorflow_cc.so.2']);
    expect(steps.length).toBe(5);
    // nothing but the result: no staging folder, no wheel, no objects, no headers
    expect(await readdir(folder)).toEqual(['tensorflow']);
    const built = packageIn(target());
    expect((await readdir(built)).sort()).toEqual(['binding', 'deps', 'index.js', 'lib', 'package.json']);
    expect((await readdir(join(built, 'deps'))).sort()).toEqual(['THIRD_PARTY_NOTICES.txt', 'coda-nets.json', 'lib']);
    expect(machine.calls.find((call) => call.includes('pip download'))).toContain('--platform manylinux_2_27_x86_64');
    const loaded = await importTfjsNode({ folder: target(), lookup: [] });
    expect(loaded).toMatchObject({ tensorflow: '9.9.9', package: '@tensorflow/tfjs-node', usesGpu: false });
    // the package's handlers of files, for the tfjs-core of whoever calls
    expect(tf.io.getSaveHandlers('file:///x/y')).toEqual([{ save: '/x/y' }]);
    expect(tf.io.getLoadHandlers(['file:///x', 'file:///y'])).toEqual([{ save: ['/x', '/y'] }]);
    expect(tf.io.getLoadHandlers('other:///x')).toEqual([]);

    // once more, over the first
    await (await planTensorFlow({ from: fake.wheel, to: target(), machine: fakeMachine() })).carryOut();
    expect(await readdir(folder)).toEqual(['tensorflow']);
    expect((await removeTensorFlow(target())).removed?.manifest.tensorflow).toBe('9.9.9');
    expect(await readdir(folder)).toEqual([]);
    await expect(removeTensorFlow(target())).rejects.toThrow('setup tensorflow: --remove: no TensorFlow was set up there; got ');
  });

  it('finds CUDA beside TensorFlow without LD_LIBRARY_PATH', async () => {
    const machine = fakeMachine({ wheels: { tensorflow: fake.wheel, 'nvidia-cuda-runtime-cu12': fake.cudaWheel } });
    // the wheel with CUDA is called so
    const gpuWheel = join(folder, 'tensorflow-2.21.0-cp311-cp311-manylinux_2_17_x86_64.whl');
    await writeFile(gpuWheel, await readFile(fake.wheel));
    const { folder: built, manifest } = await (await planTensorFlow({ gpu: true, from: gpuWheel, to: target(), machine })).carryOut();
    expect(built).toBe(packageIn(target(), 'tfjs-node-gpu'));
    expect(manifest).toMatchObject({ tensorflow: '9.9.9-cuda', gpu: true });
    expect(machine.calls.filter((call) => call.includes('pip download')).map((call) => /download (\S+)/.exec(call)?.[1])).toEqual([
      'nvidia-cuda-runtime-cu12<13.0,>=12.5',
    ]);
  });

  it('builds in place in an installed package, keeps what was there, and gives it back', async () => {
    const installed = packageIn(folder);
    await fakePackage(installed);
    await mkdir(join(installed, 'lib'));
    await writeFile(join(installed, 'lib', 'old'), 'of the install script');
    const before = await readFile(join(installed, 'package.json'), 'utf8');
    for (const round of ['first', 'again']) {
      const { folder: built } = await (await planTensorFlow({ from: fake.wheel, to: installed, machine: fakeMachine() })).carryOut();
      expect([round, built]).toEqual([round, installed]);
      expect(existsSync(join(installed, 'lib', 'old'))).toBe(false);
      expect(await findInstallation(installed)).toBeDefined();
    }
    expect(await readFile(join(installed, 'package.json'), 'utf8')).toBe(before);
    await removeTensorFlow(installed);
    expect((await readdir(installed)).sort()).toEqual(['binding', 'index.js', 'lib', 'package.json']);
    expect(await readdir(join(installed, 'lib'))).toEqual(['old']);
  });

  it('takes a folder or an archive', async () => {
    const archive = join(folder, 'libtensorflow.tar.gz');
    await mkdir(join(folder, 'official', 'lib'), { recursive: true });
    compileLibrary(join(folder, 'official', 'lib'), 'libtensorflow_framework.so.2', 'extern "C" int TFE_Framework() { return 7; }');
    compileLibrary(join(folder, 'official', 'lib'), 'libtensorflow.so.2', 'extern "C" const char* TF_Version() { return "8.8.8"; }');
    await create({ file: archive, gzip: true, cwd: join(folder, 'official') }, ['lib']);
    const refused = planTensorFlow({ from: archive, to: target(), machine: fakeMachine() }).then((plan) => plan.carryOut());
    await expect(refused).rejects.toThrow('not a TensorFlow: it lacks');
    // as the official one is laid out: lib and include side by side
    await cp(join(fake.folder, 'include'), join(folder, 'official', 'include'), { recursive: true });
    await create({ file: archive, gzip: true, cwd: join(folder, 'official') }, ['lib', 'include']);
    const sources = { [fake.folder]: '9.9.9', [made]: '9.9.9', [archive]: '8.8.8', [join(folder, 'official')]: '8.8.8' };
    for (const [from, version] of Object.entries(sources)) {
      const { manifest } = await (await planTensorFlow({ from, to: target(), machine: fakeMachine() })).carryOut();
      expect(manifest.tensorflow).toBe(version);
    }
  });

  /** Of a setup that goes wrong in the middle: the error, with the target as it was before. */
  async function failure(options: Parameters<typeof fakeMachine>[0], from: string | undefined): Promise<string> {
    await (await planTensorFlow({ from: fake.wheel, to: target(), machine: fakeMachine() })).carryOut();
    const note = join(packageIn(target()), 'deps', 'coda-nets.json');
    const before = await readFile(note, 'utf8');
    const plan = await planTensorFlow({ from, to: target(), machine: fakeMachine(options) });
    const error = await plan.carryOut().then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect(await readdir(folder)).toEqual(['tensorflow']);
    expect(await readFile(note, 'utf8')).toBe(before);
    return error?.message ?? 'no error';
  }

  it.each([
    [
      'no network for pip',
      {
        answer: (_: string, args: readonly string[]) =>
          args[2] === 'download'
            ? { stderr: 'WARNING: Retrying … NewConnectionError\nERROR: No matching distribution found for tensorflow-cpu' }
            : undefined,
      },
      true,
      'setup tensorflow: pip download tensorflow-cpu==2.21.0: the package index cannot be reached: no network, or a proxy that has to be named. Run it again when the network is back. Or fetch the wheel elsewhere and name it with --from. Nothing was changed.',
    ],
    [
      'no such wheel for this Python and machine',
      {
        answer: (_: string, args: readonly string[]) =>
          args[2] === 'download'
            ? {
                stderr:
                  'ERROR: Could not find a version that satisfies the requirement tensorflow-cpu==2.21.0 (from versions: 2.15.0, 2.16.1)\nERROR: No matching distribution found',
              }
            : undefined,
        glibc: '2.36',
      },
      true,
      'setup tensorflow: pip download tensorflow-cpu==2.21.0: the package index has no such wheel for Python 3.11 on x64 with glibc 2.36; got versions 2.15.0, 2.16.1. Choose a version that it has with --version, or name a wheel with --from.',
    ],
    [
      'a disk that fills up',
      {
        answer: (_: string, args: readonly string[]) =>
          args[2] === 'download'
            ? { stderr: 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device' }
            : undefined,
      },
      true,
      'setup tensorflow: pip download tensorflow-cpu==2.21.0: there is too little room on the disk. Name a folder on another disk with --to.',
    ],
    [
      'a download that breaks off',
      {
        answer: (_: string, args: readonly string[]) =>
          args[2] === 'download' ? { stderr: 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.' } : undefined,
      },
      true,
      'setup tensorflow: pip download tensorflow-cpu==2.21.0: the download is damaged; got ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.. Run it again.',
    ],
    [
      'no network for npm',
      {
        answer: (command: string) =>
          command === 'npm' ? { stderr: 'npm error code ENOTFOUND\nnpm error network request failed' } : undefined,
      },
      false,
      'setup tensorflow: npm install @tensorflow/tfjs-node@4.22.0: the npm registry cannot be reached: no network, or a proxy that has to be named. Run it again when the network is back. Or name an installed package with --to node_modules/@tensorflow/tfjs-node. Nothing was changed.',
    ],
    [
      'a compiler that is too old',
      {
        answer: (command: string, args: readonly string[]) =>
          command === 'g++' && args.includes('-c') ? { stderr: 'x.cc:1:1: error: C++17 what?' } : undefined,
      },
      false,
      'setup tensorflow: g++: the binding does not compile with this compiler and these headers; got x.cc:1:1: error: C++17 what?. It needs C++17: GCC 9 or Clang 10, or later ones.',
    ],
    [
      'libraries without a function that is called',
      {
        answer: (command: string, args: readonly string[]) =>
          command === 'nm' && args.includes('-D') ? { code: 0, stdout: '0000 T TF_Version\n' } : undefined,
      },
      false,
      'setup tensorflow: these libraries lack 1 of the functions that the binding calls; got TFE_Framework. Take another version of TensorFlow: 2.21.0 is known to have them.',
    ],
    [
      'a binding that does not load',
      {
        answer: (_: string, args: readonly string[]) =>
          args[0] === '-e'
            ? { stderr: "node:1\nError: /lib/libc.so.6: version `GLIBC_2.99' not found (required by x)\n    at" }
            : undefined,
      },
      false,
      'setup tensorflow: the binding was built and does not work: it needs a newer C library (GLIBC_2.99) than this machine has. Nothing was changed.',
    ],
  ])('leaves all as it was: %s', async (_, machine, fetched, message) => {
    const wheels = fetched ? undefined : fake.wheel;
    expect(await failure(machine, wheels)).toBe(message);
  });

  it('leaves all as it was when it is ended, at whichever step', async () => {
    for (let stop = 1; stop <= 4; stop++) {
      const controller = new AbortController();
      let step = 0;
      const plan = await planTensorFlow({ from: fake.wheel, to: target(), machine: fakeMachine() });
      const onStep = (): void => {
        if (++step === stop) controller.abort();
      };
      await expect(plan.carryOut({ signal: controller.signal, onStep })).rejects.toThrow(/abort/i);
      expect(await readdir(folder)).toEqual([]);
    }
  });

  it('clears away what a killed setup left, and nothing of one that runs', async () => {
    const dead = `.tensorflow.coda-setup-999999999-abcd-${host}`;
    const alive = `.tensorflow.coda-setup-${process.ppid}-abcd-${host}`;
    const elsewhere = `.tensorflow.coda-setup-999999999-abcd-not-${host}`;
    for (const name of [dead, alive, elsewhere]) await mkdir(join(folder, name));
    await (await planTensorFlow({ from: fake.wheel, to: target(), machine: fakeMachine() })).carryOut();
    expect((await readdir(folder)).sort()).toEqual([alive, elsewhere, 'tensorflow'].sort());
  });

  it('refuses, before it writes: another machine, an old C library, no compiler, no pip, a full disk, a foreign folder, a wrong wheel', async () => {
    const wheel = { from: fake.wheel, to: target() };
    const plan = (machine: Parameters<typeof fakeMachine>[0], options: object = wheel) =>
      planTensorFlow({ ...options, machine: fakeMachine(machine) });
    await expect(plan({ platform: 'darwin', arch: 'arm64' })).rejects.toThrow(
      'setup tensorflow: this machine is none that TensorFlow can be set up on; expected Linux on x64 or arm64 with glibc, got darwin on arm64. Without TensorFlow everything runs on --engine onnxruntime.',
    );
    await expect(plan({ glibc: undefined })).rejects.toThrow('got linux on x64 without glibc (Alpine?)');
    await expect(plan({ arch: 'arm64' })).rejects.toThrow('these libraries are for another kind of processor; expected arm64, got x64');
    await expect(plan({ glibc: '2.9' })).rejects.toThrow(
      'the C library of this machine is too old for it; expected glibc 2.17 or later, got glibc 2.9',
    );
    await expect(
      plan({ answer: (command) => (command === 'g++' || command === 'clang++' ? { code: 'missing' } : undefined) }),
    ).rejects.toThrow(
      'setup tensorflow: there is no C++ compiler (g++, clang++). Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++. Or name one in CXX.',
    );
    await expect(
      plan({ answer: (command) => (command.startsWith('python') ? { code: 'missing' } : undefined) }, { to: target() }),
    ).rejects.toThrow(
      'setup tensorflow: there is no Python with pip, which fetches TensorFlow. Debian, Ubuntu: apt-get install python3-pip. Or fetch the wheel elsewhere and name it with --from.',
    );
    await expect(plan({ freeBytes: async () => 5e6 })).rejects.toThrow(/there is too little room on the disk; expected 24\d MB, got 5 MB/);
    await expect(plan({}, { from: fake.wheel, to: made })).rejects.toThrow('something else is there, which would be replaced');
    await expect(plan({}, { ...wheel, version: 'latest' })).rejects.toThrow(
      '--version: not a version; expected one like 2.21.0, got latest',
    );
    await expect(plan({}, { ...wheel, from: folder })).rejects.toThrow(
      'not a TensorFlow: it lacks libtensorflow_cc.so.2 or libtensorflow.so.2',
    );
    await expect(plan({}, { ...wheel, from: join(folder, 'nothing.whl') })).rejects.toThrow(
      'not a TensorFlow: there is no such file or folder',
    );
    for (const [tag, message] of Object.entries({
      win_amd64: 'these libraries are for another system; expected a wheel for Linux with glibc (manylinux), got win_amd64',
      macosx_12_0_x86_64: 'these libraries are for another system',
      musllinux_1_2_x86_64: 'these libraries are for another system',
      any: 'these libraries are for another system',
      manylinux2014_i686: 'these libraries are for another kind of processor; expected x64, got manylinux2014_i686',
    })) {
      const other = join(folder, `tensorflow_cpu-2.21.0-cp311-cp311-${tag}.whl`);
      await cp(fake.wheel, other);
      await expect(plan({}, { ...wheel, from: other })).rejects.toThrow(message);
    }
    const bare = join(folder, 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_17_x86_64.whl');
    const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
    await writeFile(bare, wheelOf(libraries.map((name) => ({ name: `tensorflow/${name}`, data: Buffer.from(name) }))));
    await expect(plan({}, { ...wheel, from: bare })).rejects.toThrow(
      'not a TensorFlow: the wheel has no include/tensorflow/c/eager/c_api.h',
    );
    const old = packageIn(folder);
    await fakePackage(old);
    await writeFile(join(old, 'package.json'), JSON.stringify({ name: '@tensorflow/tfjs-node', version: '4.0.0' }));
    await expect(plan({}, { from: fake.wheel, to: old })).rejects.toThrow('another version of the package; expected 4.22.0, got 4.0.0');
  });

  it('compiles with every word of CXX', async () => {
    vi.stubEnv('CXX', ' env  CCACHE=1 g++ ');
    try {
      const machine = fakeMachine();
      const plan = await planTensorFlow({ from: fake.wheel, to: target(), machine });
      await plan.carryOut();
      const compiled = machine.calls.filter((call) => call.startsWith('env '));
      expect(compiled.map((call) => call.split(' ', 4).join(' '))).toEqual([
        'env CCACHE=1 g++ --version',
        'env CCACHE=1 g++ -std=c++17',
        'env CCACHE=1 g++ -std=c++17',
        'env CCACHE=1 g++ -shared',
      ]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('does not use a known wheel that is another one inside', async () => {
    const known = join(folder, 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl');
    await writeFile(known, await readFile(fake.wheel));
    const plan = await planTensorFlow({ from: known, to: target(), machine: fakeMachine() });
    await expect(plan.carryOut()).rejects.toThrow('the wheel does not have its known sha256 hash, so it is not used; expected 2b847d21');
  });
});

it('renames everything or nothing', async () => {
  const root = await mkdtemp(join(tmpdir(), 'coda-swap-test-'));
  try {
    for (const name of ['new', 'old']) await mkdir(join(root, name));
    await writeFile(join(root, 'new', 'a'), '');
    const pairs = [
      { from: join(root, 'new'), to: join(root, 'old') },
      { from: join(root, 'missing'), to: join(root, 'b') },
    ];
    await expect(swapIn(pairs, join(root, 'aside'))).rejects.toThrow('ENOENT');
    expect(await readdir(join(root, 'new'))).toEqual(['a']);
    expect(await readdir(join(root, 'old'))).toEqual([]);
  } finally {
    await rm(root, { recursive: true });
  }
});
