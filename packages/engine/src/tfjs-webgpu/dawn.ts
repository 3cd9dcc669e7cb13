/**
 * WebGPU in Node, by the npm package `webgpu`: Dawn, Chromium's implementation, as a binding that lies inside the package. The part of WebGPU's interface that
 * this package touches is written out here, so that nobody's program needs its types. Not the WebGPU inside onnxruntime-node, which is a Dawn of its own.
 */
import { CodaError } from '@coda-nets/core';
import { vulkanReport } from '../vulkan-report.ts';

export interface GpuAdapter {
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
  readonly info: { readonly vendor: string; readonly device: string; readonly description: string; readonly isFallbackAdapter?: boolean };
  requestDevice(descriptor: object): Promise<GpuDevice>;
}

export interface GpuDevice {
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  addEventListener(type: 'uncapturederror', listener: (event: { readonly error: { readonly message: string } }) => void): void;
  destroy(): void;
}

interface Gpu {
  requestAdapter(options: { readonly powerPreference: 'high-performance' }): Promise<GpuAdapter | null>;
}

interface Dawn {
  create(options: readonly string[]): Gpu;
  readonly globals: Readonly<Record<string, unknown>>;
}

export const WHERE = 'engine tfjs-webgpu';

/** Named by a variable: nobody has to have its 130 MB to build this package. */
const DAWN: string = 'webgpu';

/** What to install, as one types it. */
const INSTALL = 'npm install @tensorflow/tfjs-backend-webgpu webgpu';

/** Imports a package that is here only where somebody installed it. */
export async function importOptional<T>(name: string, load: () => Promise<unknown>): Promise<T> {
  try {
    return (await load()) as T;
  } catch (cause) {
    const missing = (cause as { code?: string }).code === 'ERR_MODULE_NOT_FOUND' && String(cause).includes(`'${name}'`);
    throw new CodaError({
      kind: 'unavailable',
      where: WHERE,
      problem: missing ? `the package ${name} is not installed` : `the package ${name} does not load: ${(cause as Error).message}`,
      hint: missing ? `\`${INSTALL}\` brings what it needs.` : 'It runs on Linux (x64, arm64; glibc 2.34 or later), macOS and Windows.',
      cause,
    });
  }
}

/**
 * The names of WebGPU (`GPUBufferUsage`, `navigator.gpu` …) become global, as in a browser, and the adapter is found: the first whose name contains `adapter`, or
 * the fastest. Throws a CodaError of kind `unavailable` that says what is missing.
 */
export async function findAdapter(adapter: string | undefined): Promise<GpuAdapter> {
  const { create, globals } = await importOptional<Dawn>(DAWN, () => import(DAWN));
  if (typeof create !== 'function' || typeof globals !== 'object') {
    const hint = `\`${INSTALL}\` brings one that is known here.`;
    throw new CodaError({
      kind: 'unavailable',
      where: WHERE,
      problem: `the package ${DAWN} is of another version: it has no create and globals`,
      hint,
    });
  }
  let gpu: Gpu;
  let found: GpuAdapter | null;
  try {
    gpu = create(adapter === undefined ? [] : [`adapter=${adapter}`]);
    found = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (cause) {
    const names = [...String(cause).matchAll(/name: '([^']*)'/g)].map(([, name]) => name as string);
    if (names.length > 0) {
      throw new CodaError({
        kind: 'unavailable',
        where: `${WHERE}: adapter`,
        problem: 'no GPU of that name',
        expected: `part of one of: ${[...new Set(names)].join(', ')}`,
        got: adapter,
        cause,
      });
    }
    throw noGpu(cause);
  }
  if (found === null) throw noGpu();
  makeGlobal(gpu, globals);
  return found;
}

function noGpu(cause?: unknown): CodaError {
  const { problem, hint } = vulkanReport();
  return new CodaError({ kind: 'unavailable', where: WHERE, problem: `no GPU that WebGPU can use: ${problem}`, hint, cause });
}

/** What is global already stays. `navigator.gpu` keeps Dawn alive as long as the program. */
function makeGlobal(gpu: Gpu, globals: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const global = globalThis as { navigator?: object };
  // Node has a navigator from version 21 on
  if (global.navigator === undefined) Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true, writable: true });
  Object.defineProperty(global.navigator, 'gpu', { value: gpu, configurable: true });
}
