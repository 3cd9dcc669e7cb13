/**
 * A TensorFlow of two functions with a package that binds them: compiled here, so that a setup runs as it does for the real one, compiler, linker and loader
 * included, within seconds and a few kilobytes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { thisMachine, type Machine, type Outcome } from '../src/machine.ts';
import { writeZip } from './write-zip.ts';

export const hasCompiler = ((): boolean => {
  try {
    execFileSync('g++', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const HEADER = '#pragma once\nextern "C" { const char* TF_Version(); int TFE_Framework(); }\n';

/** Tells as its version whether it finds CUDA the way that TensorFlow does: by name, at run time. */
const MAIN = `#include <dlfcn.h>
extern "C" int TFE_Framework();
extern "C" const char* TF_Version() { TFE_Framework(); return dlopen("libcudart.so.12", RTLD_NOW) ? "9.9.9-cuda" : "9.9.9"; }`;

const BACKEND = `#include "tensorflow/c/c_api.h"
#include "tensorflow/c/eager/c_api.h"
const char* version() { return TFE_Framework() == 7 ? TF_Version() : "?"; }`;

const BINDING = `#include <node_api.h>
#include <string>
const char* version();
static napi_value Init(napi_env env, napi_value exports) {
  std::string text = std::string("({createTensor: () => 1, executeOp: () => [{id: 1}], tensorDataSync: () => Float32Array.of(4, 9), isUsingGpuDevice: () => false, TF_Version: '") + version() + "'})";
  napi_value script, result;
  napi_create_string_utf8(env, text.c_str(), text.size(), &script);
  napi_run_script(env, script, &result);
  return result;
}
NAPI_MODULE(tfjs_binding, Init)`;

export interface FakeTensorFlow {
  /** `site-packages/tensorflow`, as a wheel unpacks. */
  readonly folder: string;
  /** A wheel of it, and one of NVIDIA's. */
  readonly wheel: string;
  readonly cudaWheel: string;
}

export async function fakeTensorFlow(folder: string): Promise<FakeTensorFlow> {
  const root = join(folder, 'tensorflow');
  const include = join(root, 'include', 'tensorflow', 'c');
  await mkdir(join(include, 'eager'), { recursive: true });
  await writeFile(join(include, 'c_api.h'), HEADER);
  await writeFile(join(include, 'eager', 'c_api.h'), '#pragma once\n#include "tensorflow/c/c_api.h"\n');
  await writeFile(join(root, 'THIRD_PARTY_NOTICES.txt'), 'whose work this is\n');
  compileLibrary(root, 'libtensorflow_framework.so.2', 'extern "C" int TFE_Framework() { return 7; }');
  compileLibrary(root, 'libtensorflow_cc.so.2', MAIN, ['-L', root, '-l:libtensorflow_framework.so.2']);
  const cuda = join(folder, 'cuda');
  await mkdir(cuda);
  compileLibrary(cuda, 'libcudart.so.12', 'extern "C" int cudaRuntime() { return 12; }');
  const files = [
    'include/tensorflow/c/c_api.h',
    'include/tensorflow/c/eager/c_api.h',
    'THIRD_PARTY_NOTICES.txt',
    'libtensorflow_framework.so.2',
    'libtensorflow_cc.so.2',
  ];
  const wheel = join(folder, 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_17_x86_64.whl');
  const entries = await Promise.all(files.map(async (file) => ({ name: `tensorflow/${file}`, data: await readFile(join(root, file)) })));
  const metadata = 'Requires-Dist: numpy>=1\nRequires-Dist: nvidia-cuda-runtime-cu12<13.0,>=12.5; extra == "and-cuda"\n';
  await writeFile(
    wheel,
    wheelOf([
      ...entries,
      { name: 'tensorflow_cpu-2.21.0.dist-info/METADATA', data: Buffer.from(metadata) },
      { name: 'tensorflow/python/not_needed.py', data: Buffer.from('pass') },
    ]),
  );
  const cudaWheel = join(folder, 'nvidia_cuda_runtime_cu12-12.5.1-py3-none-manylinux2014_x86_64.whl');
  await writeFile(
    cudaWheel,
    wheelOf([{ name: 'nvidia/cuda_runtime/lib/libcudart.so.12', data: await readFile(join(cuda, 'libcudart.so.12')) }]),
  );
  return { folder: root, wheel, cudaWheel };
}

/** With the list of hashes that wheels have. */
export function wheelOf(entries: readonly { readonly name: string; readonly data: Uint8Array }[]): Uint8Array {
  const lines = entries.map(({ name, data }) => `${name},sha256=${createHash('sha256').update(data).digest('base64url')},${data.length}`);
  return writeZip([...entries, { name: 'x-1.dist-info/RECORD', data: Buffer.from(`${lines.join('\n')}\nx-1.dist-info/RECORD,,\n`) }]);
}

export function compileLibrary(folder: string, name: string, source: string, more: readonly string[] = []): void {
  const args = [
    '-x',
    'c++',
    '-',
    '-shared',
    '-fPIC',
    '-o',
    join(folder, name),
    `-Wl,-soname,${name}`,
    '-Wl,-rpath,$ORIGIN/',
    '-x',
    'none',
    ...more,
  ];
  execFileSync('g++', args, { input: source, stdio: ['pipe', 'ignore', 'inherit'] });
}

/** The npm package, before its install script would have run. */
export async function fakePackage(folder: string, name = '@tensorflow/tfjs-node'): Promise<void> {
  await mkdir(join(folder, 'binding'), { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version: '4.22.0', main: 'index.js' }));
  const index = `const util = require('util');
const binding = require('./lib/napi-v8/tfjs_binding.node');
if (!util.isNullOrUndefined(null) || !util.isArray([])) throw new Error('no util');
console.warn("The kernel 'Add' for backend 'cpu' is already registered");
exports.io = { fileSystem: (path) => ({ save: path }) };
exports.findBackend = () => ({ binding });\n`;
  await writeFile(join(folder, 'index.js'), index);
  await writeFile(join(folder, 'binding', 'tfjs_backend.cc'), BACKEND);
  await writeFile(join(folder, 'binding', 'tfjs_binding.cc'), BINDING);
}

export interface FakeMachineOptions extends Partial<Omit<Machine, 'run'>> {
  /** What pip downloads, by the name of the requirement. */
  readonly wheels?: Readonly<Record<string, string>>;
  /** Answers instead of a program; undefined: the program runs. */
  readonly answer?: (command: string, args: readonly string[]) => Partial<Outcome> | undefined;
}

/** This machine, with a package index and a registry of its own. */
export function fakeMachine({ wheels = {}, answer, ...rest }: FakeMachineOptions = {}): Machine & { readonly calls: string[] } {
  const real = thisMachine();
  const calls: string[] = [];
  return {
    ...real,
    ...rest,
    calls,
    run: async (command, args, options) => {
      calls.push([basename(command), ...args].join(' '));
      const answered = answer?.(basename(command), args);
      if (answered !== undefined) return { code: 1, stdout: '', stderr: '', ...answered };
      const done: Outcome = { code: 0, stdout: '', stderr: '' };
      if (command === 'npm') {
        const name = (args[1] as string).replace(/@[\d.]+$/, '');
        await fakePackage(join(options?.cwd as string, 'node_modules', name), name);
        return done;
      }
      if (args[1] !== 'pip') return real.run(command, args, options);
      if (args[2] === '--version') return { ...done, stdout: 'pip 99.0 from somewhere' };
      const wheel = wheels[/^[\w-]+/.exec(args[3] as string)?.[0] ?? ''];
      if (wheel === undefined) return { code: 1, stdout: '', stderr: 'ERROR: No matching distribution found' };
      const into = args[args.indexOf('--dest') + 1] as string;
      await mkdir(dirname(join(into, 'x')), { recursive: true });
      await cp(wheel, join(into, basename(wheel)));
      return done;
    },
  };
}
