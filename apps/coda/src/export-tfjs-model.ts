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
    throw CodaError.isInstance(error) ? error.within(path) : error;
  }
}
