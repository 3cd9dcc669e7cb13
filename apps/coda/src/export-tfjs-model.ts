/** A model of TensorFlow.js as an ONNX file. Networks of this project, with their explanation: export-network.ts. */
import { CodaError } from '@coda-nets/core';
import { encodeModel, trace } from '@coda-nets/onnx';
import type { OpenTfjsModel } from './open-tfjs-model.ts';

export interface ExportedModel {
  readonly bytes: Uint8Array;
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
    const graph = trace(fn, signature, { names });
    const bytes = encodeModel(graph, {
      ...(opset !== undefined && { opset }),
      graphName: format,
      producerVersion: version,
      metadata: { source: `TensorFlow.js ${format}`, version },
    });
    const shapes = Object.entries(signature.inputs).map(([name, { shape, dtype }]) => `${name}: ${dtype}[${shape.join(', ')}]`);
    return { bytes, inputs: shapes, outputs: Object.keys(graph.outputs) };
  } catch (error) {
    throw CodaError.isInstance(error) ? error.within(path) : error;
  }
}
