/**
 * A TensorFlow.js backend whose kernels record instead of computing. tfjs builds gradients out of the same kernels, so running a
 * function and its gradient on this backend leaves both behind as one graph. It holds no numbers but the constants it is given.
 */
import { CodaError, ndArray, type DType } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { GraphBuilder } from './graph-builder.ts';
import { readRefusal, refuseRandom } from './refusals.ts';
import { tensorDType } from './tensor-dtype.ts';
import { filled, plain, Layouts, type LayoutOptions, type TracedArray } from './traced-array.ts';

export const recordingBackendName = 'coda-recording';

type Values = tf.backend_util.TypedArray;

/** What is known of numbers that depend on no input. */
export interface KnownTensor {
  readonly values: () => Values;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

interface Entry {
  refs: number;
  readonly known: KnownTensor | undefined;
  array: TracedArray | undefined;
}

export interface RecordingOptions extends LayoutOptions {
  /** The backend in use before. */
  readonly previous: string;
  /** Names of constants, by the data of the tensors that the function closes over. */
  readonly named: ReadonlyMap<object, string>;
  /** Whether to keep what each kernel gave, and where it was called: slow. Default false. */
  readonly keepSteps?: boolean;
}

/** A kernel that was run, as `traceSteps` shows it. */
export interface RecordedStep {
  readonly kernel: string;
  readonly results: readonly TracedArray[];
  /** Named constants that it read: weights. */
  readonly reads: readonly string[];
  /** Operators of the nodes that it recorded; none where those were there already. */
  readonly operators: readonly string[];
  readonly site: string | undefined;
}

export class RecordingBackend extends tf.KernelBackend {
  readonly builder = new GraphBuilder();
  readonly layouts: Layouts;
  /** What was run, in order. */
  readonly kernels: string[] = [];
  readonly steps: RecordedStep[] = [];
  readonly #options: RecordingOptions;
  readonly #data: tf.DataStorage<Entry>;
  readonly #borrowed = new Set<object>();

  constructor(options: RecordingOptions) {
    super();
    this.#options = options;
    this.layouts = new Layouts(this.builder, options);
    this.#data = new tf.DataStorage(this, tf.engine());
  }

  /** A tensor that stands for `array` while the function runs. */
  tensor(array: TracedArray): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.record(array));
  }

  /** The result of a kernel. */
  record(array: TracedArray, known?: KnownTensor): tf.TensorInfo {
    const dataId = {};
    this.#data.set(dataId, { refs: 1, known, array });
    return { dataId, shape: [...array.shape], dtype: tensorDType(array.value.dtype) };
  }

  get keepsSteps(): boolean {
    return this.#options.keepSteps === true;
  }

  /** The same tensor once more. */
  share(tensor: tf.TensorInfo): tf.TensorInfo {
    this.incRef(tensor.dataId);
    return { dataId: tensor.dataId, shape: tensor.shape, dtype: tensor.dtype };
  }

  /** What is known of a tensor; a constant enters the graph when it is first read. */
  arrayOf(tensor: tf.TensorInfo): TracedArray {
    const entry = this.#data.get(tensor.dataId);
    if (entry.array === undefined && entry.known !== undefined) {
      entry.array = this.#constant(entry.known, this.#options.named.get(tensor.dataId));
    }
    const array = entry.array as TracedArray;
    // tfjs may give one constant several shapes without running a kernel
    return array.shape.length === tensor.shape.length && array.shape.every((d, i) => d === tensor.shape[i])
      ? array
      : this.layouts.reshape(array, tensor.shape);
  }

  /** The numbers of a kernel's result where those of all its inputs are known: computed by the backend in use before, when they are read. */
  knownResult(
    kernelName: string,
    inputs: tf.NamedTensorInfoMap,
    attrs: tf.NamedAttrMap | undefined,
  ): ((index: number) => Values) | undefined {
    const operands = Object.entries(inputs).flatMap(([name, info]) => {
      const known = info === null || info === undefined ? undefined : this.#data.get(info.dataId).known;
      return info === null || info === undefined ? [] : [{ name, info, known }];
    });
    if (!operands.every(({ known }) => known !== undefined)) return undefined;
    const { previous } = this.#options;
    let computed: readonly Values[] | undefined;
    const compute = (): readonly Values[] => {
      const backend = tf.engine().findBackend(previous);
      const run = tf.getKernel(kernelName, previous)?.kernelFunc;
      if (run === undefined) throw readRefusal(`and the backend ${previous} has no ${kernelName} to compute them with`);
      const feeds = operands.map(({ name, info: { shape, dtype }, known }) => {
        return [name, { dataId: backend.write((known as KnownTensor).values(), shape, dtype), shape, dtype }] as const;
      });
      // kernels that take a list get an array
      const list = Array.isArray(inputs) ? feeds.map(([, feed]) => feed) : Object.fromEntries(feeds);
      const result = run({ inputs: list as tf.NamedTensorInfoMap, attrs: attrs ?? {}, backend });
      const results = Array.isArray(result) ? result : [result];
      const values = results.map(({ dataId }) => (backend.readSync(dataId) as Values).slice());
      for (const { dataId } of [...results, ...feeds.map(([, feed]) => feed)]) backend.disposeData(dataId);
      return values;
    };
    return (index) => (computed ??= compute())[index] as Values;
  }

  #constant({ values: valuesOf, shape, dtype }: KnownTensor, name: string | undefined): TracedArray {
    const values = valuesOf();
    const first = values[0] as number;
    const one = name === undefined && values.length > 0 && values.every((v) => Object.is(v, first));
    if (dtype === 'float32') {
      return one
        ? filled(this.builder.scalar(first), shape)
        : plain(this.builder.constant(ndArray('float32', shape, Float32Array.from(values)), name));
    }
    const array = dtype === 'bool' ? Uint8Array.from(values) : Int32Array.from(values);
    const make = (s: readonly number[], data: Int32Array | Uint8Array) =>
      this.builder.constant(dtype === 'bool' ? ndArray('bool', s, data as Uint8Array) : ndArray('int32', s, data as Int32Array), name);
    return one ? filled(make([], array.slice(0, 1)), shape) : plain(make(shape, array));
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    refuseRandom();
    const dataId = {};
    this.#store(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(dataId: object, values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType, refs: number): void {
    this.#borrowed.add(dataId);
    this.#store(dataId, values, shape, dtype, refs);
  }

  #store(dataId: object, values: tf.backend_util.BackendValues, shape: readonly number[], dtype: tf.DataType, refs: number): void {
    if (dtype === 'string' || dtype === 'complex64') {
      throw new CodaError({ kind: 'unsupported', where: 'trace', problem: `a ${dtype} constant`, expected: 'float32, int32 or bool' });
    }
    this.#data.set(dataId, { refs, known: { values: () => values as Values, shape: [...shape], dtype }, array: undefined });
  }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    const { known } = this.#data.get(dataId);
    if (known === undefined) throw readRefusal('which has none while it is traced');
    return known.values();
  }

  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    return this.readSync(dataId);
  }

  override refCount(dataId: object): number {
    return this.#data.has(dataId) ? this.#data.get(dataId).refs : 0;
  }

  override incRef(dataId: object): void {
    this.#data.get(dataId).refs++;
  }

  decRef(dataId: object): void {
    if (this.#data.has(dataId)) this.#data.get(dataId).refs--;
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.#data.has(dataId)) return true;
    const entry = this.#data.get(dataId);
    entry.refs--;
    if (!force && entry.refs > 0) return false;
    this.#data.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.#data.numDataIds();
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {}

  /** Gives tensors that tfjs moved here, because the function closes over them, back to the backend they came from. */
  returnBorrowed(name: string): void {
    for (const dataId of this.#borrowed) {
      if (this.#data.has(dataId)) tf.engine().moveData(tf.engine().findBackend(name), dataId);
    }
  }
}
