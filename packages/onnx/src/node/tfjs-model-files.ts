/** A model.json of TensorFlow.js and the files of weights beside it, as what `loadLayersModel` and `loadGraphModel` read. TensorFlow.js does so in browsers and tfjs-node alone. */
import { CodaError } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import type { io } from '@tensorflow/tfjs-core';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { checkTopology } from './check-topology.ts';

/** Topologies are text: the largest that is published has 18 MB. */
const MAX_JSON_BYTES = 256 * 2 ** 20;
/** As much as an ArrayBuffer holds on every platform. */
const MAX_WEIGHT_BYTES = 2 ** 31 - 1;

export interface TfjsModelFiles {
  readonly format: 'layers-model' | 'graph-model';
  readonly handler: io.IOHandler;
}

/** Reads the JSON at once, the weights when the handler loads. Throws a CodaError that names the file. */
export async function tfjsModelFiles(path: string): Promise<TfjsModelFiles> {
  const json = parse(path, await readFileBytes(path, { maxBytes: MAX_JSON_BYTES }));
  const { modelTopology, weightsManifest } = json;
  const format = formatOf(path, json);
  if (typeof modelTopology !== 'object' || modelTopology === null) throw malformed(path, 'it has no modelTopology');
  if (!Array.isArray(weightsManifest) || !weightsManifest.every((group) => isGroup(group))) {
    throw malformed(path, 'its weightsManifest is no list of files and weights');
  }
  checkTopology(path, format, modelTopology as Readonly<Record<string, unknown>>);
  const groups = weightsManifest as io.WeightsManifestConfig;
  return {
    format,
    handler: {
      load: async () => ({
        ...(json as object),
        modelTopology,
        weightSpecs: groups.flatMap(({ weights }) => weights),
        weightData: await readWeights(path, groups),
      }),
    },
  };
}

type Json = Readonly<Record<string, unknown>>;

function parse(path: string, bytes: Uint8Array): Json {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof json === 'object' && json !== null) return json as Json;
  } catch (cause) {
    throw malformed(path, 'not JSON', cause);
  }
  throw malformed(path, 'not a JSON object');
}

/** What the file says, or what its topology shows: files of early converters do not say. */
function formatOf(path: string, { format, modelTopology }: Json): TfjsModelFiles['format'] {
  if (format === 'layers-model' || format === 'graph-model') return format;
  const topology = (modelTopology ?? {}) as Json;
  if (Array.isArray(topology['node'])) return 'graph-model';
  if ('model_config' in topology || 'class_name' in topology) return 'layers-model';
  throw new CodaError({
    kind: 'malformed',
    where: path,
    problem: 'not a model of TensorFlow.js',
    expected: 'format layers-model or graph-model',
    got: JSON.stringify(format) ?? 'none',
  });
}

function isGroup(group: unknown): boolean {
  const { paths, weights } = (group ?? {}) as Json;
  return Array.isArray(paths) && paths.every((p) => typeof p === 'string') && Array.isArray(weights);
}

async function readWeights(path: string, groups: io.WeightsManifestConfig): Promise<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const name of groups.flatMap(({ paths }) => paths)) {
    // a model is a folder: what lies outside of it is no part of the model
    if (isAbsolute(name) || normalize(name).startsWith('..'))
      throw malformed(path, `weights outside of its folder: ${JSON.stringify(name)}`);
    const part = await readFileBytes(join(dirname(path), name), { maxBytes: MAX_WEIGHT_BYTES - size });
    size += part.length;
    parts.push(part);
  }
  const all = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  const bytes = groups.reduce((sum, { weights }) => sum + weights.reduce((n, weight) => n + bytesOf(path, weight), 0), 0);
  if (bytes > size) throw malformed(path, `its weights need ${bytes} bytes, and its files have ${size}`);
  return all.buffer;
}

const bytesPerElement: Readonly<Record<string, number>> = { float32: 4, int32: 4, complex64: 8, bool: 1, uint8: 1, uint16: 2, float16: 2 };

/** Strings have a length of their own: they count as one byte. */
function bytesOf(path: string, { name, shape, dtype, quantization }: io.WeightsManifestEntry): number {
  if (!Array.isArray(shape) || !shape.every((d) => Number.isSafeInteger(d) && d >= 0))
    throw malformed(path, `weight ${JSON.stringify(name)} has no shape`);
  return shape.reduce((a, b) => a * b, 1) * (bytesPerElement[quantization?.dtype ?? dtype] ?? 1);
}

const malformed = (where: string, problem: string, cause?: unknown): CodaError =>
  new CodaError({ kind: 'malformed', where, problem, cause });
