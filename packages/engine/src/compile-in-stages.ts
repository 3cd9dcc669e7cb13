/** A function as several graphs, cut where values cross ranks or are wanted early. */
import {
  CodaError,
  type ArraySpec,
  type CompiledInStages,
  type NdArray,
  type Signature,
  type StageOptions,
  type TensorFunction,
} from '@coda-nets/core';
import { cutGraph, trace } from '@coda-nets/onnx';
import { checkInputs } from './check-inputs.ts';
import type { CompileSettings } from './compile-graph.ts';
import type { OnnxRuntime } from './load-onnx-runtime.ts';
import { compileError } from './run-error.ts';
import { openStages } from './stage-sessions.ts';

/** On this thread, whatever `ownThread` says: between stages it is this one that sends. */
export async function compileInStages(
  ort: OnnxRuntime,
  { block, options }: CompileSettings,
  fn: TensorFunction,
  signature: Signature,
  { mean, early }: StageOptions,
): Promise<CompiledInStages> {
  if (signature.carried !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'compileInStages: signature',
      problem: 'a function in stages carries no values',
      expected: 'inputs and constants',
    });
  }
  const staged = cutGraph(trace(fn, signature, { block }), early);
  const sessions = await openStages(ort, staged, options, mean).catch((cause: unknown) => {
    throw compileError(cause);
  });
  const names = Object.keys(signature.inputs);
  return {
    run: async (inputs, onResults) => {
      checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
      return sessions.run(Object.fromEntries(names.map((name) => [name, inputs[name] as NdArray])), onResults);
    },
    carried: async () => ({}),
    dispose: () => sessions.release(),
  };
}
