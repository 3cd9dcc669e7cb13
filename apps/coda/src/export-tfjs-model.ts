/** A model of TensorFlow.js as an ONNX file. Networks of this project, with their explanation: export-network.ts. */
import { CodaError } from '@coda-nets/core';
import { inferencePasses, runPasses, trace, type Graph, type ModelOptions } from '@coda-nets/onnx';
import type { OpenTfjsModel } from './open-tfjs-model.ts';

export interface ExportedModel {
  readonly graph: Graph;
  readonly modelOptions: ModelOptions;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface TfjsExportOptions {
  readonly opset?: number;
  readonly version?: string;
}

/** Of what TensorFlow.js says: it repeats names of any length. */
const MOST_LETTERS = 1000;

/** Throws a CodaError that begins with the path of the model. */
export function exportTfjsModel(model: OpenTfjsModel, { opset, version = '' }: TfjsExportOptions = {}): ExportedModel {
  const { fn, signature, names, path, format } = model;
  try {
    const graph = runPasses(trace(fn, signature, { names, convolutionsAsProducts: false }), inferencePasses);
    const modelOptions: ModelOptions = {
      ...(opset !== undefined && { opset }),
      graphName: format,
      producerVersion: version,
      metadata: { source: `TensorFlow.js ${format}`, version },
    };
    const shapes = Object.entries(signature.inputs).map(([name, { shape, dtype }]) => `${name}: ${dtype}[${shape.join(', ')}]`);
    return { graph, modelOptions, inputs: shapes, outputs: Object.keys(graph.outputs) };
  } catch (error) {
    if (CodaError.isInstance(error)) throw error.within(path);
    // what the file says of its nodes is tried when they run
    const problem = `TensorFlow.js does not run it: ${error instanceof Error ? error.message.slice(0, MOST_LETTERS) : String(error)}`;
    throw new CodaError({ kind: 'malformed', where: path, problem, cause: error });
  }
}
