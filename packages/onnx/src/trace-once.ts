/** One trace: runs a function on the recording backend at given sizes. */
import { CodaError, sizeOf, type ArraySpec, type NamedTensors, type Signature, type TensorFunction } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Graph, Value } from './graph.ts';
import './kernels/elementwise.ts';
import './kernels/unary.ts';
import './kernels/two-argument.ts';
import './kernels/comparison.ts';
import './kernels/activation.ts';
import './kernels/reduce.ts';
import './kernels/order.ts';
import './kernels/shape.ts';
import './kernels/creation.ts';
import './kernels/blocks.ts';
import './kernels/mirror-pad.ts';
import './kernels/gather.ts';
import './kernels/scatter.ts';
import './kernels/matmul.ts';
import './kernels/einsum.ts';
import './kernels/convolution.ts';
import './kernels/filter-gradient.ts';
import './kernels/max-pool.ts';
import './kernels/depthwise-convolution.ts';
import './kernels/grouped-convolution.ts';
import './kernels/convolution-3d.ts';
import './kernels/dilation.ts';
import './kernels/average-pooling.ts';
import './kernels/normalisation.ts';
import './kernels/resize.ts';
import './kernels/fused.ts';
import './kernels/mean-over-ranks.ts';
import './unsupported-kernels.ts';
import { eliminateDeadCode } from './passes/eliminate-dead-code.ts';
import { RecordingBackend, recordingBackendName, type RecordedStep } from './recording-backend.ts';
import { shapeIn, type Sizes } from './trace-sizes.ts';
import { carriedDType, tensorData } from './tensor-data.ts';
import { tensorDType } from './tensor-dtype.ts';
import { plain } from './traced-array.ts';

export interface TraceOptions {
  /** Tensors that the function closes over and that are to be constants of these names: the weights of a model. */
  readonly names?: ReadonlyMap<tf.Tensor, string>;
  /**
   * For a graph that this process will run in ONNX Runtime itself: channels in a block of its blocked operators, which are used where they are faster and all
   * sizes are fixed (`blocked-layout.ts`). Default: the graph holds ONNX's operators alone and runs anywhere.
   */
  readonly block?: number | undefined;
  /**
   * Whether convolutions with many outputs over small maps become matrix products, which run faster on CPUs (docs/decisions/0004). Default true; false for
   * files that other runtimes read, and so that batch norms can be folded.
   */
  readonly convolutionsAsProducts?: boolean;
}

/** As many as TensorFlow.js can count in one tensor on any backend. */
const MOST_ELEMENTS = 2 ** 31;

/** The carried value `name` leaves the graph under this name: a graph's names are unique. */
export const carriedOutput = (name: string): string => `next/${name}`;

/** What one trace leaves behind. */
export interface Traced {
  readonly sizes: Sizes;
  readonly graph: Graph;
  /** The kernels that the function ran, in order. */
  readonly kernels: readonly string[];
  readonly steps: readonly RecordedStep[];
}

/** The output that is a result of a kernel, where steps are kept. */
export const stepOutput = (step: number, result: number): string => `step ${step}, result ${result}`;

const stepOutputs = ({ builder, layouts, steps }: RecordingBackend): Record<string, Value> =>
  Object.fromEntries(
    steps.flatMap(({ results }, i) => results.map((array, k) => [stepOutput(i, k), builder.output(layouts.dense(array))] as const)),
  );

/** `keepSteps`: the outputs are the results of every kernel instead of those of `fn`. */
export function traceOnce(
  fn: TensorFunction,
  signature: Signature,
  sizes: Sizes,
  { names, block, convolutionsAsProducts = true }: TraceOptions,
  keepSteps = false,
): Traced {
  const { inputs, constants = {}, carried = {} } = signature;
  checkSignature(signature);
  const previous = tf.getBackend();
  const named = new Map([...(names ?? [])].map(([tensor, name]) => [tensor.dataId as object, name]));
  const backend = new RecordingBackend({
    previous,
    named,
    spaceIsOpen: [...sizes.keys()].some((symbol) => symbol !== 'batch'),
    convolutionsAsProducts,
    block: sizes.size === 0 ? block : undefined,
    keepSteps,
  });
  const { builder, layouts } = backend;
  tf.registerBackend(recordingBackendName, () => backend, 0);
  void tf.setBackend(recordingBackendName);
  // not tf.tidy: it would search the whole graph for tensors
  tf.engine().startScope('trace');
  try {
    const tensors: Record<string, tf.Tensor> = {};
    for (const [name, spec] of Object.entries(inputs)) tensors[name] = inputTensor(backend, name, spec, sizes);
    for (const [name, array] of Object.entries(carried)) {
      tensors[name] = inputTensor(backend, name, { dtype: carriedDType(name, array), shape: array.shape }, sizes);
    }
    for (const [name, array] of Object.entries(constants)) {
      tensors[name] = backend.tensor(plain(builder.constant(tensorData(name, array), name)));
    }
    const results = callRecorded(fn, tensors, sizes);
    checkResults(results, carried);
    const outputs: Record<string, Value> = {};
    for (const [name, result] of Object.entries(results)) {
      if (!(result instanceof tf.Tensor)) {
        throw new CodaError({ kind: 'argument', where: `trace: result "${name}"`, problem: 'not a tensor', got: typeof result });
      }
      checkCarried(name, result, signature);
      const value = layouts.dense(backend.arrayOf(result));
      const before = Object.hasOwn(carried, name) ? carried[name] : undefined;
      // as it went in, so that the next call can read it
      outputs[before === undefined ? name : carriedOutput(name)] = builder.output(
        before === undefined ? value : builder.cast(value, before.dtype),
      );
    }
    const missing = Object.keys(carried).filter((name) => !(name in results));
    if (missing.length > 0) {
      throw new CodaError({ kind: 'argument', where: 'trace', problem: `carried values are not returned: ${missing.join(', ')}` });
    }
    const all = keepSteps ? stepOutputs(backend) : outputs;
    return { sizes, graph: eliminateDeadCode(builder.finish(all)), kernels: backend.kernels, steps: backend.steps };
  } finally {
    tf.engine().endScope();
    if (previous) backend.returnBorrowed(previous);
    tf.removeBackend(recordingBackendName);
    if (previous) void tf.setBackend(previous);
  }
}

function inputTensor(backend: RecordingBackend, name: string, spec: ArraySpec, sizes: Sizes): tf.Tensor {
  const value = backend.builder.input(name, spec.dtype, shapeIn(spec, sizes));
  return backend.tensor(plain(backend.builder.cast(value, tensorDType(spec.dtype))));
}

/** Inputs, constants and carried values share one list of names. Sizes of inputs begin at 1: to ONNX a 0 is a size that stays what it was. */
function checkSignature({ inputs, constants = {}, carried = {} }: Signature): void {
  for (const [name, { shape }] of Object.entries(inputs)) {
    if (
      shape.every((d) => typeof d === 'string' || (Number.isSafeInteger(d) && d > 0)) &&
      sizeOf(shape.map((d) => Number(d) || 1)) < MOST_ELEMENTS
    )
      continue;
    throw new CodaError({
      kind: 'argument',
      where: `trace: signature: ${JSON.stringify(name)}`,
      problem: 'not the shape of an input',
      expected: 'sizes from 1, fewer than 2³¹ elements in all',
      got: `[${shape.join(', ')}]`,
    });
  }
  const all = [...Object.keys(inputs), ...Object.keys(constants), ...Object.keys(carried)];
  const twice = all.find((name, i) => all.indexOf(name) !== i);
  if (twice === undefined && !all.includes('')) return;
  const problem = twice === undefined ? 'an empty name' : 'two of its inputs, constants and carried values have this name';
  throw new CodaError({ kind: 'argument', where: `trace: signature: ${JSON.stringify(twice ?? '')}`, problem });
}

function checkResults(results: unknown, carried: object): void {
  if (typeof results !== 'object' || results === null || results instanceof tf.Tensor || results instanceof Promise) {
    throw new CodaError({
      kind: 'argument',
      where: 'trace: results',
      problem: 'the function has to return its results by name, at once',
      expected: 'an object of tensors',
      got: results instanceof tf.Tensor ? 'a tensor' : results instanceof Promise ? 'a promise' : String(results),
    });
  }
  if (Object.keys(results).length + Object.keys(carried).length === 0) {
    throw new CodaError({ kind: 'argument', where: 'trace: results', problem: 'the function returns no tensor' });
  }
  const hidden = Object.keys(results).find((name) => Object.keys(carried).some((c) => carriedOutput(c) === name));
  if (hidden === undefined) return;
  throw new CodaError({
    kind: 'argument',
    where: `trace: result "${hidden}"`,
    problem: 'a carried value leaves the graph under this name',
  });
}

function callRecorded(fn: TensorFunction, tensors: NamedTensors, sizes: Sizes): NamedTensors {
  try {
    return fn(tensors);
  } catch (error) {
    const kernelName = error instanceof Error ? /(?:registered kernel|Kernel) '(\w+)'/.exec(error.message)?.[1] : undefined;
    if (kernelName === undefined) {
      if (sizes.size === 0 || CodaError.isInstance(error) || !(error instanceof Error)) throw error;
      const given = [...sizes].map(([symbol, size]) => `${symbol} = ${size}`).join(', ');
      throw new CodaError({
        kind: 'argument',
        where: 'trace',
        problem: `the function fails where its open sizes are ${given}: ${error.message}`,
        hint: 'Those sizes stand for any; a function for some sizes alone wants them fixed in its signature.',
        cause: error,
      });
    }
    throw new CodaError({
      kind: 'unsupported',
      where: `trace: ${kernelName}`,
      problem: 'this TensorFlow.js kernel has no ONNX counterpart here',
      hint: 'Write the function with other operations, or run it eagerly.',
      cause: error,
    });
  }
}

function checkCarried(name: string, result: tf.Tensor, { carried }: Signature): void {
  const before = carried?.[name];
  if (before === undefined) return;
  const same =
    result.dtype === tensorDType(before.dtype) && result.size === sizeOf(before.shape) && result.shape.join() === before.shape.join();
  if (same) return;
  throw new CodaError({
    kind: 'argument',
    where: `trace: carried value "${name}"`,
    problem: 'comes back with another shape or dtype',
    expected: `${before.dtype} [${before.shape.join(', ')}]`,
    got: `${result.dtype} [${result.shape.join(', ')}]`,
  });
}
