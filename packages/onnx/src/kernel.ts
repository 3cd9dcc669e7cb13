/** Registers kernels of the recording backend in the terms of traced arrays. */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { callSite } from './call-site.ts';
import type { GraphBuilder } from './graph-builder.ts';
import { recordingBackendName, type RecordingBackend } from './recording-backend.ts';
import { tensorDType } from './tensor-dtype.ts';
import { dtypeOf, type Layouts, type TracedArray } from './traced-array.ts';

export interface KernelContext<A> {
  readonly attrs: A;
  readonly layouts: Layouts;
  readonly builder: GraphBuilder;
  /** The error for what the kernel cannot record; `got` are the kernel's inputs unless something else is at fault. */
  refuse(problem: string, details?: { readonly expected?: string; readonly got?: string }): CodaError;
}

type Recorder<I, A> = (inputs: I, context: KernelContext<A>) => TracedArray | readonly TracedArray[];

/** `I`: the kernel's named inputs; kernels that take a list get it under `0`, `1`, …. */
export function kernel<I = { x: TracedArray }, A = object>(
  kernelName: string,
  recorder: Recorder<I, A>,
  { blocked = false }: { /** Whether it takes arrays whose channels lie in blocks as they are. */ readonly blocked?: boolean } = {},
): void {
  tf.registerKernel({
    kernelName,
    backendName: recordingBackendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const recording = backend as RecordingBackend;
      const { layouts, builder } = recording;
      recording.kernels.push(kernelName);
      const arrays: Record<string, TracedArray> = {};
      for (const [name, tensor] of Object.entries(inputs)) {
        if (tensor === null || tensor === undefined) continue;
        const array = recording.arrayOf(tensor as tf.TensorInfo);
        arrays[name] = blocked ? array : layouts.unblocked(array);
      }
      const refuse: KernelContext<A>['refuse'] = (problem, { expected, got } = {}) =>
        refusal(kernelName, problem, { expected, got: got ?? described(Object.values(arrays)) });
      const before = builder.nodeCount;
      const result = recorder(arrays as I, { attrs: attrs as A, layouts, builder, refuse });
      const values = recording.knownResult(kernelName, inputs, attrs);
      // a kernel that changes nothing hands its input on, as those of every backend do; tfjs counts on it
      const output = (array: TracedArray, index: number): tf.TensorInfo => {
        const same = Object.entries(arrays).find(([, input]) => input === array);
        if (same !== undefined) return recording.share(inputs[same[0]] as tf.TensorInfo);
        const { shape, value } = array;
        return recording.record(array, values && { values: () => values(index), shape, dtype: tensorDType(value.dtype) });
      };
      const results = (Array.isArray(result) ? result : [result]) as readonly TracedArray[];
      // copies change nothing, and TensorFlow.js makes one of all that a gradient will need
      if (recording.keepsSteps && kernelName !== 'Identity') {
        const reads = Object.values(arrays).flatMap(({ value }) =>
          builder.isConstant(value) && value.hint !== undefined ? [value.hint] : [],
        );
        recording.steps.push({ kernel: kernelName, results, reads, operators: builder.operatorsFrom(before), site: callSite() });
      }
      return Array.isArray(result) ? results.map((r, i) => output(r, i)) : output(result as TracedArray, 0);
    },
  });
}

/** Registers the kernel as one that cannot be recorded, and why. */
export function unsupportedKernel(kernelName: string, reason: string): void {
  tf.registerKernel({
    kernelName,
    backendName: recordingBackendName,
    kernelFunc: ({ inputs }) => {
      const tensors = Object.values(inputs).filter((t) => t !== null && t !== undefined) as tf.TensorInfo[];
      throw refusal(kernelName, `this TensorFlow.js kernel has no ONNX counterpart here: ${reason}`, {
        got: tensors.map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`).join(', ') || 'no tensor',
      });
    },
  });
}

const described = (arrays: readonly TracedArray[]): string =>
  arrays.map((a) => `${dtypeOf(a)} [${a.shape.join(', ')}]`).join(', ') || 'no tensor';

function refusal(
  kernelName: string,
  problem: string,
  details: { readonly expected?: string | undefined; readonly got: string },
): CodaError {
  const site = callSite();
  const called = site === undefined ? '' : `Called at ${site}. `;
  return new CodaError({
    kind: 'unsupported',
    where: `trace: ${kernelName}`,
    problem,
    ...details,
    hint: `${called}Write the function with other operations, or run it eagerly.`,
  });
}
