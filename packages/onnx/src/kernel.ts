/** Registers kernels of the recording backend in the terms of traced arrays. */
import * as tf from '@tensorflow/tfjs-core';
import type { GraphBuilder } from './graph-builder.ts';
import { recordingBackendName, type RecordingBackend } from './recording-backend.ts';
import type { Layouts, TracedArray } from './traced-array.ts';

export interface KernelContext<A> {
  readonly attrs: A;
  readonly layouts: Layouts;
  readonly builder: GraphBuilder;
}

type Recorder<I, A> = (inputs: I, context: KernelContext<A>) => TracedArray | readonly TracedArray[];

/** `I`: the kernel's named inputs; kernels that take a list get it under `0`, `1`, …. */
export function kernel<I = { x: TracedArray }, A = object>(kernelName: string, recorder: Recorder<I, A>): void {
  tf.registerKernel({
    kernelName,
    backendName: recordingBackendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const recording = backend as RecordingBackend;
      const arrays: Record<string, TracedArray> = {};
      for (const [name, tensor] of Object.entries(inputs)) {
        if (tensor !== null && tensor !== undefined) arrays[name] = recording.arrayOf(tensor as tf.TensorInfo);
      }
      const { layouts, builder } = recording;
      const result = recorder(arrays as I, { attrs: attrs as A, layouts, builder });
      // a kernel that changes nothing hands its input on, as those of every backend do; tfjs counts on it
      const output = (array: TracedArray): tf.TensorInfo => {
        const same = Object.entries(arrays).find(([, input]) => input === array);
        return same === undefined ? recording.record(array) : recording.share(inputs[same[0]] as tf.TensorInfo);
      };
      return Array.isArray(result) ? result.map((r: TracedArray) => output(r)) : output(result as TracedArray);
    },
  });
}
