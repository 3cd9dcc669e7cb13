/** Runs an ONNX model that was written before, its own or another program's. */
import { CodaError, type ArraySpec, type NamedArrays } from '@coda-nets/core';
import { readModelInfo, type ModelInfo } from '@coda-nets/onnx';
import { readOnnxInfo } from '@coda-nets/onnx/node';
import { checkEngineOptions } from './check-engine-options.ts';
import { checkInputs } from './check-inputs.ts';
import { loadOnnxRuntime } from './load-onnx-runtime.ts';
import { openSession, type OnnxSession, type SessionPlan } from './onnx-session.ts';
import { openInThread } from './open-in-thread.ts';
import { runError } from './run-error.ts';
import { sessionOptionsOf, type OnnxRuntimeOptions } from './session-options.ts';

export interface OnnxFile extends ModelInfo {
  /** All outputs by name. */
  run(inputs: NamedArrays): Promise<NamedArrays>;
  dispose(): Promise<void>;
}

/** Runs an ONNX model as it is. `where` names it in errors. Throws a CodaError for bytes that ONNX Runtime does not load. */
export async function openOnnx(bytes: Uint8Array, where: string, options: OnnxRuntimeOptions = {}): Promise<OnnxFile> {
  const info = readModelInfo(bytes, where);
  const [outside] = info.externalData;
  if (outside === undefined) return openFile(info, bytes, where, options);
  throw new CodaError({
    kind: 'unsupported',
    where,
    problem: `the weights of "${outside.tensor}" are in another file, ${outside.location}`,
    hint: 'Open it by its path: openOnnxFile.',
  });
}

/** The same for a file on disk, and the files of its weights beside it. Throws a CodaError for weights that are not where the file says. */
export async function openOnnxFile(path: string, options: OnnxRuntimeOptions = {}): Promise<OnnxFile> {
  const { info, bytes } = await readOnnxInfo(path);
  // by its path only where it must be: ONNX Runtime looks beside it for the weights
  return openFile(info, info.externalData.length === 0 ? bytes : path, path, options);
}

async function openFile(info: ModelInfo, model: Uint8Array | string, where: string, options: OnnxRuntimeOptions): Promise<OnnxFile> {
  checkEngineOptions('openOnnx', options);
  const plan: SessionPlan = { model, options: sessionOptionsOf(options), shared: {}, sharedInputs: [], carried: {} };
  const ort = await loadOnnxRuntime();
  let session: OnnxSession;
  try {
    session = await (options.ownThread === true ? openInThread(plan) : openSession(ort, plan));
  } catch (cause) {
    const problem = `ONNX Runtime does not load it: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new CodaError({ kind: 'malformed', where, problem, cause });
  }
  const specs = Object.fromEntries(info.inputs.map(({ name, dtype, shape }) => [name, { dtype, shape } as ArraySpec]));
  return {
    ...info,
    run: async (inputs) => {
      checkInputs(inputs, specs);
      return session.run(inputs).catch((cause: unknown) => {
        throw runError(where, cause);
      });
    },
    dispose: () => session.release(),
  };
}
