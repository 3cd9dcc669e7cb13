/** ONNX files on disk: one, or one with a second beside it for the weights. */
import { CodaError } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Graph } from '../graph.ts';
import { encodeModel, encodeModelWithData, MAX_MODEL_BYTES, weightBytes, type ModelOptions } from '../model-proto.ts';

export interface WriteOptions extends ModelOptions {
  /** Weights go into `<path>.data` beside the file. Default: only where one file cannot hold them. */
  readonly externalData?: boolean;
}

export interface WrittenModel {
  /** What was written: the model's file, and that of its weights. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/** Room for the graph itself in a file of the largest size. */
const GRAPH_BYTES = 2 ** 26;

/**
 * Writes `path`, and `<path>.data` where the weights are apart; without a copy of the weights in memory. Whatever happens, there is the old model, the new
 * one, or, between the two, none: never a model with the weights of another.
 */
export async function writeOnnx(path: string, graph: Graph, options: WriteOptions = {}): Promise<WrittenModel> {
  const { externalData = weightBytes(graph) > MAX_MODEL_BYTES - GRAPH_BYTES, ...modelOptions } = options;
  if (!externalData) {
    const bytes = encodeModel(graph, modelOptions);
    await writeFileAtomic(path, bytes);
    return { files: [path], bytes: bytes.length };
  }
  const dataPath = `${path}.data`;
  const { model, data, dataBytes } = encodeModelWithData(graph, basename(dataPath), modelOptions);
  const staged = `${dataPath}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  await writeFileAtomic(staged, data);
  try {
    await rm(path, { force: true });
    await rename(staged, dataPath);
  } catch (cause) {
    await rm(staged, { force: true });
    throw new CodaError({ kind: 'unavailable', where: path, problem: 'could not be replaced', got: (cause as Error).message, cause });
  }
  await writeFileAtomic(path, model);
  return { files: [path, dataPath], bytes: model.length + dataBytes };
}
