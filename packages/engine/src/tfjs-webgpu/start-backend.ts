/** Starts TensorFlow.js' own backend `webgpu` in Node and watches its device: what goes wrong on a GPU is told later, and only to who listens. */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { addNInGroups } from './add-n-kernel.ts';
import { findAdapter, importOptional, WHERE, type GpuAdapter, type GpuDevice } from './dawn.ts';
import { transposeWholeNumbers } from './transpose-whole-numbers.ts';

export interface TfjsWebGpuOptions {
  /** Part of the name of the GPU to take, as its driver names it. Default: the fastest. */
  readonly adapter?: string;
}

export interface TfjsWebGpu {
  /** For people: the GPU and its driver. */
  readonly description: string;
  /** Throws a CodaError where the device was lost, or refused something since the last call. To be called when results were read. */
  check(): void;
}

type Backend = tf.KernelBackend &
  Parameters<typeof transposeWholeNumbers>[0] & {
    readonly device: GpuDevice;
    readonly tensorMap: { get(id: object): { readonly values: unknown; readonly resource?: unknown } };
  };

interface BackendModule {
  readonly WebGPUBackend: new (device: GpuDevice, info: GpuAdapter['info']) => Backend;
}

interface Running extends TfjsWebGpu {
  readonly wanted: string | undefined;
  isLost(): boolean;
}

const BACKEND = 'webgpu';
/** What the backend's own start asks a device for, beyond what every device gives. */
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
];

let running: Running | undefined;
let queue: Promise<unknown> = Promise.resolve();

/**
 * Registers the backend and starts it without choosing it: `tf.setBackend('webgpu')` does that. A second call gives the same device; a new one where that was
 * lost, and its tensors with it. Throws a CodaError of kind `unavailable` where a package, a driver or a GPU is missing.
 */
export function startTfjsWebGpu({ adapter }: TfjsWebGpuOptions = {}): Promise<TfjsWebGpu> {
  const next = queue.then(async () => {
    if (running?.isLost() === true) {
      tf.removeBackend(BACKEND);
      running = undefined;
    }
    if (running === undefined) running = await start(adapter);
    else if (adapter !== undefined && adapter !== running.wanted) {
      throw new CodaError({
        kind: 'argument',
        where: `${WHERE}: adapter`,
        problem: 'a process has one GPU for TensorFlow.js, and it is chosen already',
        expected: running.description,
        got: adapter,
      });
    }
    return running;
  });
  queue = next.catch(() => undefined);
  return next;
}

async function start(wanted: string | undefined): Promise<Running> {
  // before `navigator.gpu` is there, so that the package does not register a backend that TensorFlow.js would choose by itself
  const { WebGPUBackend } = await importOptional<BackendModule>(
    '@tensorflow/tfjs-backend-webgpu',
    () => import('@tensorflow/tfjs-backend-webgpu'),
  );
  const adapter = await findAdapter(wanted);
  const device = await adapter.requestDevice({
    requiredFeatures: ['timestamp-query'].filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  const { info } = adapter;
  const backend = new WebGPUBackend(device, info);
  refuseSynchronousReads(backend);
  transposeWholeNumbers(backend);
  addKernels();
  tf.registerBackend(BACKEND, () => backend, 0);
  const previous = tf.getBackend();
  await tf.setBackend(BACKEND);
  if (previous) await tf.setBackend(previous);
  return { wanted, description: info.description || info.device || info.vendor, ...watch(device) };
}

let added = false;

/** Once: what is wrapped is the package's own. */
function addKernels(): void {
  if (added) return;
  added = true;
  const config = addNInGroups();
  tf.unregisterKernel(config.kernelName, config.backendName);
  tf.registerKernel(config);
}

function watch(device: GpuDevice): Pick<Running, 'check' | 'isLost'> {
  let lost: string | undefined;
  let refused: string | undefined;
  device.addEventListener('uncapturederror', ({ error }) => (refused ??= error.message));
  void device.lost.then(({ reason, message }) => (lost = `${reason}: ${message}`));
  return {
    isLost: () => lost !== undefined,
    check: () => {
      if (lost !== undefined) {
        throw new CodaError({
          kind: 'unavailable',
          where: WHERE,
          problem: `the GPU was lost, and with it every tensor there (${lost})`,
          hint: 'Open the engine and compile again; a training goes on from its last checkpoint.',
        });
      }
      if (refused === undefined) return;
      const problem = `the GPU refused a call, its results are void: ${refused.trim()}`;
      refused = undefined;
      throw new CodaError({ kind: 'unsupported', where: WHERE, problem });
    },
  };
}

/** A browser draws the numbers on a canvas to have them at once; Node has none. */
function refuseSynchronousReads(backend: Backend): void {
  const readSync = backend.readSync.bind(backend);
  backend.readSync = (id) => {
    const { values, resource } = backend.tensorMap.get(id);
    if ((values === null || values === undefined) && resource !== null && resource !== undefined) {
      throw new CodaError({
        kind: 'unsupported',
        where: 'dataSync',
        problem: 'what is on a GPU cannot be read without waiting in Node',
        hint: 'Take `await tensor.data()` or `await tensor.array()`.',
      });
    }
    return readSync(id);
  };
}
