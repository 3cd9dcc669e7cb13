/** Compiles the package's own sources against TensorFlow's libraries, after a look at whether these have what the sources call; then loads the result. */
import { CodaError } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { include_dir as nodeHeaders } from 'node-api-headers';
import { WHERE, type CommandWords } from './check-machine.ts';
import { explainLoadError } from './explain-load-error.ts';
import type { Machine } from './machine.ts';
import { bindingFile } from './tensorflow-folder.ts';

/** As in the package's binding.gyp. */
const SOURCES = ['tfjs_backend', 'tfjs_binding'];
/** The newest that the package looks for. */
const NAPI_VERSION = 8;
/** From lib/napi-v8 to deps/lib, as in binding.gyp: nothing has to be set to find the libraries. */
const RPATH = '$ORIGIN/../../deps/lib';

export interface CompileOptions {
  /** Of the package: has `binding`. */
  readonly sources: string;
  /** Has `deps/lib` and `deps/include`, and gets `lib/napi-v8`. */
  readonly output: string;
  readonly link: readonly string[];
  readonly compiler: CommandWords;
  readonly machine: Machine;
  readonly signal?: AbortSignal | undefined;
}

export async function compileBinding({ sources, output, link, compiler, machine, signal }: CompileOptions): Promise<void> {
  const [libraries, include, objects] = [join(output, 'deps', 'lib'), join(output, 'deps', 'include'), join(output, 'objects')];
  const binding = join(output, bindingFile);
  await Promise.all([mkdir(objects, { recursive: true }), mkdir(dirname(binding), { recursive: true })]);
  const objectFiles: string[] = [];
  for (const name of SOURCES) {
    const source = join(sources, 'binding', `${name}.cc`);
    if (!existsSync(source)) {
      throw new CodaError({
        kind: 'mismatch',
        where: `${WHERE}: ${sources}`,
        problem: `the package has no binding/${name}.cc`,
        expected: '@tensorflow/tfjs-node 4.22.0',
      });
    }
    const object = join(objects, `${name}.o`);
    const includes = [nodeHeaders, include].flatMap((folder) => ['-I', folder]);
    await compile(['-std=c++17', '-O2', '-fPIC', `-DNAPI_VERSION=${NAPI_VERSION}`, ...includes, '-c', source, '-o', object]);
    objectFiles.push(object);
  }
  await checkSymbols(
    objectFiles,
    link.map((name) => join(libraries, name)),
    machine,
    signal,
  );
  const linked = link.map((name) => `-l:${name}`);
  await compile([
    '-shared',
    ...objectFiles,
    '-o',
    binding,
    '-L',
    libraries,
    ...linked,
    `-Wl,-rpath,${RPATH}`,
    '-Wl,--allow-shlib-undefined',
  ]);
  await rm(objects, { recursive: true });

  async function compile(args: readonly string[]): Promise<void> {
    const [program, ...words] = compiler;
    const { code, stderr } = await machine.run(program, [...words, ...args], { signal });
    if (code === 0) return;
    if (/No space left on device/.test(stderr))
      throw new CodaError({ kind: 'unavailable', where: WHERE, problem: 'there is too little room on the disk' });
    throw new CodaError({
      kind: 'unavailable',
      where: `${WHERE}: ${compiler.join(' ')}`,
      problem: 'the binding does not compile with this compiler and these headers',
      got: stderr.split('\n').find((line) => /error/i.test(line)) ?? stderr.trim().split('\n')[0],
      hint: 'It needs C++17: GCC 9 or Clang 10, or later ones.',
    });
  }
}

/** Every function of TensorFlow's that the objects call has to be in one of the libraries. */
async function checkSymbols(
  objects: readonly string[],
  libraries: readonly string[],
  machine: Machine,
  signal?: AbortSignal,
): Promise<void> {
  const symbols = async (args: readonly string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await machine.run('nm', args, { signal });
    // binutils come with every compiler
    if (code !== 0)
      throw new CodaError({
        kind: 'unavailable',
        where: WHERE,
        problem: 'nm, which lists the symbols of a library, failed',
        got: stderr.trim().split('\n')[0],
      });
    return [...stdout.matchAll(/ [A-Za-z] (TFE?_\w+)/g)].map(([, name]) => name as string);
  };
  const needed = new Set(await symbols(['--undefined-only', ...objects]));
  for (const library of libraries) for (const name of await symbols(['-D', '--defined-only', library])) needed.delete(name);
  if (needed.size === 0) return;
  throw new CodaError({
    kind: 'mismatch',
    where: WHERE,
    problem: `these libraries lack ${needed.size} of the functions that the binding calls`,
    got: [...needed].slice(0, 5).join(', '),
    hint: 'Take another version of TensorFlow: 2.21.0 is known to have them.',
  });
}

/** Squares two numbers in a process of its own. */
const TRIAL = `
const b = require(process.argv[1]);
const x = b.createTensor([2], b.TF_FLOAT, Float32Array.of(2, 3));
const [y] = b.executeOp('Square', [{ name: 'T', type: b.TF_ATTR_TYPE, value: b.TF_FLOAT }], [x], 1);
const values = Array.from(b.tensorDataSync(y.id));
process.stdout.write('\\n' + JSON.stringify({ version: b.TF_Version, values }));
`;

/** The version that the library tells. `where`: the folder that has `lib/napi-v8` and `deps`. */
export async function tryBinding(folder: string, machine: Machine, signal?: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await machine.run(process.execPath, ['-e', TRIAL, join(folder, bindingFile)], { signal });
  const answer = stdout.trim().split('\n').at(-1);
  if (code === 0 && answer !== undefined) {
    const { version, values } = JSON.parse(answer) as { version: string; values: number[] };
    if (values[0] === 4 && values[1] === 9) return version;
  }
  const thrown = stderr.split('\n').find((line) => /^\w*Error: /.test(line)) ?? stderr.trim().split('\n').at(-1) ?? '';
  throw new CodaError({
    kind: 'unavailable',
    where: WHERE,
    problem: `the binding was built and does not work: ${explainLoadError(thrown)}`,
    hint: 'Nothing was changed.',
  });
}
