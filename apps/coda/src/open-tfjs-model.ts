/** A model of TensorFlow.js in its own files (`model.json` beside its weights), as a function that can be exported. */
import { CodaError } from '@coda-nets/core';
import { graphModelFunction } from '@coda-nets/onnx/graph-model';
import { layersModelFunction, type ModelFunction, type ModelFunctionOptions } from '@coda-nets/onnx/layers-model';
import { tfjsModelFiles, type TfjsModelFiles } from '@coda-nets/onnx/node';
// where its weights lie, and what computes sizes while it is traced
import '@tensorflow/tfjs-backend-cpu';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface OpenTfjsModel extends ModelFunction {
  readonly path: string;
  readonly format: TfjsModelFiles['format'];
}

/** The JSON that a path means: itself, or `model.json` of the folder. Undefined for what is no model of TensorFlow.js. */
export function tfjsModelPath(path: string): string | undefined {
  if (path.endsWith('.json')) return path;
  const inside = join(path, 'model.json');
  return existsSync(inside) ? inside : undefined;
}

/** Throws a CodaError that names the file for one that TensorFlow.js does not load. */
export async function openTfjsModel(path: string, options: ModelFunctionOptions = {}): Promise<OpenTfjsModel> {
  const { format, handler } = await tfjsModelFiles(path);
  try {
    // each brings code that the other has no use for
    const opened =
      format === 'graph-model'
        ? graphModelFunction(await (await import('@tensorflow/tfjs-converter')).loadGraphModel(handler), options)
        : layersModelFunction(await (await import('@tensorflow/tfjs-layers')).loadLayersModel(handler), options);
    return { ...opened, path, format };
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    const problem = `TensorFlow.js does not load it: ${cause instanceof Error ? cause.message.slice(0, 1000) : String(cause)}`;
    throw new CodaError({ kind: 'malformed', where: path, problem, cause });
  }
}
