/** A function as one graph in a session of ONNX Runtime, with a report of what that took. */
import { CodaError, type ArraySpec, type Compiled, type Engine, type NdArray, type Signature, type TensorFunction } from '@coda-nets/core';
import {
  encodeModel,
  encodeModelInMemory,
  gpuPasses,
  meansOverRanks,
  patchesAsConvolutions,
  runPasses,
  splitConstantPart,
  trace,
  type Graph,
} from '@coda-nets/onnx';
import type { InferenceSession } from 'onnxruntime-node';
import { checkInputs } from './check-inputs.ts';
import type { Fallbacks } from './fallbacks.ts';
import type { OnnxRuntime } from './load-onnx-runtime.ts';
import { openSession, type SessionPlan } from './onnx-session.ts';
import { openInThread } from './open-in-thread.ts';
import { compileError, runError } from './run-error.ts';

/** What was compiled, and what its calls took. */
export interface CompiledReport {
  /** Nodes of the graph by operator, before ONNX Runtime joins some. */
  readonly operators: Readonly<Record<string, number>>;
  readonly constantBytes: number;
  readonly carriedBytes: number;
  /** Tracing, and what ONNX Runtime did before the first call, in milliseconds. */
  readonly traceTime: number;
  readonly sessionTime: number;
  readonly calls: number;
  /** Of the last 100 calls, in milliseconds; undefined before the first. Where it went, node by node, is what `profile` writes. */
  readonly medianCallTime: number | undefined;
}

export interface OnnxCompiled extends Compiled {
  report(): CompiledReport;
  /** Nodes by operator that ran on the CPU in the first call, where `listFallbacks` asked for them; undefined before it. */
  fallbacks(): Promise<Fallbacks | undefined>;
}

export interface OnnxEngine extends Engine {
  compile(fn: TensorFunction, signature: Signature): Promise<OnnxCompiled>;
}

export interface CompileSettings {
  readonly copyConstantsUpTo: number;
  readonly onGpu?: boolean;
  readonly listFallbacks?: boolean;
  readonly block: number | undefined;
  readonly ownThread: boolean;
  readonly options: InferenceSession.SessionOptions;
}

export async function compileGraph(
  ort: OnnxRuntime,
  settings: CompileSettings,
  fn: TensorFunction,
  signature: Signature,
): Promise<OnnxCompiled> {
  const start = performance.now();
  const { copyConstantsUpTo, block, ownThread, onGpu = false, listFallbacks = false, options } = settings;
  const recorded = trace(fn, signature, { block });
  refuseMeansOverRanks(recorded);
  const constantBytes = bytesOf(recorded.constants.values());
  // filters are copied, which large weights are not to be
  const copied = constantBytes <= copyConstantsUpTo;
  const convolved = block !== undefined && copied ? [patchesAsConvolutions(block)] : [];
  const traced = runPasses(recorded, onGpu ? gpuPasses : convolved);
  const traceTime = performance.now() - start;
  const split = copied ? { main: traced, prologue: undefined, shared: {} } : splitConstantPart(traced);
  const plan: SessionPlan = {
    ...encodeModelInMemory(split.main),
    options,
    prologue: split.prologue === undefined ? undefined : encodeModel(split.prologue),
    shared: split.shared,
    sharedInputs: split.main.inputs.flatMap(({ hint = '' }) => (Object.hasOwn(split.shared, hint) ? [hint] : [])),
    carried: signature.carried ?? {},
    onGpu,
    listFallbacks,
  };
  const session = await (ownThread ? openInThread(plan) : openSession(ort, plan)).catch((cause: unknown) => {
    throw compileError(cause);
  });
  const sessionTime = performance.now() - start - traceTime;
  const names = Object.keys(signature.inputs);
  let calls = 0;
  const times: number[] = [];
  return {
    run: async (inputs) => {
      checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
      const begin = performance.now();
      const results = await session
        .run(Object.fromEntries(names.map((name) => [name, inputs[name] as NdArray])))
        .catch((cause: unknown) => {
          throw runError('run', cause);
        });
      times[calls++ % REPORTED_CALLS] = performance.now() - begin;
      return results;
    },
    report: () => ({
      operators: countOperators(traced),
      constantBytes,
      carriedBytes: bytesOf(Object.values(signature.carried ?? {})),
      traceTime,
      sessionTime,
      calls,
      medianCallTime: times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)],
    }),
    carried: () => session.carried(),
    fallbacks: () => session.fallbacks(),
    dispose: () => session.release(),
  };
}

/** What crosses ranks does so between two sessions. */
function refuseMeansOverRanks(graph: Graph): void {
  const [first, ...more] = meansOverRanks(graph);
  if (first === undefined) return;
  throw new CodaError({
    kind: 'argument',
    where: 'compile: meanOverRanks',
    problem: `the function averages "${first}"${more.length === 0 ? '' : ` and ${more.length} more`} over ranks, which a graph in one piece does not stop for`,
    expected: 'compileInStages, of an engine that has it',
    got: 'compile',
    hint: 'A function of one process alone needs no meanOverRanks: without, it is the same and compiles as it is.',
  });
}

const REPORTED_CALLS = 100;

const bytesOf = (arrays: Iterable<NdArray>): number => [...arrays].reduce((sum, { data }) => sum + data.byteLength, 0);

function countOperators({ nodes }: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op, domain } of nodes) {
    const name = domain === undefined ? op : `${domain}.${op}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
