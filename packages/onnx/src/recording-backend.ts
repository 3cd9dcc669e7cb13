/**
 * A TensorFlow.js backend whose kernels record instead of computing. tfjs builds gradients out of the same kernels, so running a
 * function and its gradient on this backend leaves both behind as one graph. It holds no numbers but the constants it is given.
 */
import { CodaError, ndArray, type DType } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { GraphBuilder } from './graph-builder.ts';
import { filled, plain, Layouts, type TracedArray } from './traced-array.ts';

export const recordingBackendName = 'coda-recording';

interface Entry {
  refs: number;
  readonly host: { readonly values: tf.backend_util.TypedArray; readonly shape: readonly number[]; readonly dtype: DType } | undefined;
  array: TracedArray | undefined;
}

export class RecordingBackend extends tf.KernelBackend {
  readonly builder = new GraphBuilder();
  readonly layouts: Layouts;
  readonly #data: tf.DataStorage<Entry>;
  readonly #borrowed = new Set<object>();

  constructor(convolutionsAsProducts = true) {
    super();
    this.layouts = new Layouts(this.builder, convolutionsAsProducts);
    this.#data = new tf.DataStorage(this, tf.engine());
  }

  /** A tensor that stands for `array` while the function runs. */
  tensor(array: TracedArray): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.record(array));
  }

  /** The result of a kernel. */
  record(array: TracedArray): tf.TensorInfo {
    const dataId = {};
    this.#data.set(dataId, { refs: 1, host: undefined, array });
    return { dataId, shape: [...array.shape], dtype: tensorDType(array.value.dtype) };
  }

  /** The same tensor once more. */
  share(tensor: tf.TensorInfo): tf.TensorInfo {
    this.incRef(tensor.dataId);
    return { dataId: tensor.dataId, shape: tensor.shape, dtype: tensor.dtype };
  }

  /** What is known of a tensor; a constant enters the graph when it is first read. */
  arrayOf(tensor: tf.TensorInfo): TracedArray {
    const entry = this.#data.get(tensor.dataId);
    if (entry.array === undefined && entry.host !== undefined) entry.array = this.#constant(entry.host);
    const array = entry.array as TracedArray;
    // tfjs may give one constant several shapes without running a kernel
    return array.shape.length === tensor.shape.length && array.shape.every((d, i) => d === tensor.shape[i])
      ? array
      : this.layouts.reshape(array, tensor.shape);
  }

  #constant({ values, shape, dtype }: NonNullable<Entry['host']>): TracedArray {
    const first = values[0] as number;
    const one = values.length > 0 && values.every((v) => Object.is(v, first));
    if (dtype === 'float32') {
      const data = values instanceof Float32Array ? values : Float32Array.from(values);
      return one
        ? filled(this.builder.scalar(first), shape)
        : plain(this.builder.constant(ndArray('float32', shape, Float32Array.from(data))));
    }
    const array = dtype === 'bool' ? Uint8Array.from(values) : Int32Array.from(values);
    const make = (s: readonly number[], data: Int32Array | Uint8Array) =>
      this.builder.constant(dtype === 'bool' ? ndArray('bool', s, data as Uint8Array) : ndArray('int32', s, data as Int32Array));
    return one ? filled(make([], array.slice(0, 1)), shape) : plain(make(shape, array));
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
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
    const host = { values: values as tf.backend_util.TypedArray, shape: [...shape], dtype };
    this.#data.set(dataId, { refs, host, array: undefined });
  }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    const { host } = this.#data.get(dataId);
    if (host === undefined) {
      throw new CodaError({
        kind: 'unsupported',
        where: 'trace',
        problem: 'the function reads the values of a tensor (data, dataSync, array or print), which has none while it is traced',
        hint: 'Return the tensor, or decide on shapes instead of values.',
      });
    }
    return host.values;
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

/** tfjs knows int32 where the graph has other integers, and float32 where it has float64. */
export function tensorDType(dtype: DType): 'float32' | 'int32' | 'bool' {
  if (dtype === 'float64') return 'float32';
  return dtype === 'float32' || dtype === 'bool' ? dtype : 'int32';
}
