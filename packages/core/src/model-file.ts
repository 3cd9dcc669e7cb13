/**
 * A model as one file: safetensors, with config, preprocessing and class names as JSON in its metadata. Readable from Python.
 * Not a builder: which network a config means is for the packages that have networks.
 */
import * as v from 'valibot';
import { CodaError } from './errors.ts';
import { modelCardSchema, type ModelCard } from './model-card.ts';
import type { NamedArrays } from './nd-array.ts';
import type { JsonObject } from './network.ts';
import { parseConfig } from './parse-config.ts';
import { preprocessingSchema, type Preprocessing } from './preprocessing.ts';
import { decodeSafetensors } from './decode-safetensors.ts';
import { encodeSafetensors } from './encode-safetensors.ts';

const format = 'coda-nets';
const version = '1';
/** Ten times what a config has. Without a limit, who prints the value again runs out of stack. */
const maxNesting = 64;

/** It is printed on terminals and into pictures: a control character there is an escape sequence or an accident. */
const className = v.pipe(
  v.string(),
  v.check((name) => !/\p{Cc}/u.test(name), 'a control character'),
);

export interface Model {
  readonly config: JsonObject & { readonly kind: string };
  readonly preprocessing: Preprocessing;
  /** One for each logit. */
  readonly classNames: readonly string[];
  readonly weights: NamedArrays;
  /** Where the weights come from: recipe, data, seed, licence. */
  readonly provenance?: JsonObject;
  /** What a person should know of them. */
  readonly card?: ModelCard;
}

/** The bytes of a model file. The same model gives the same bytes. */
export function encodeModel(model: Model): Uint8Array {
  return encodeSafetensors(model.weights, metadataOf(model));
}

/** All of a model but its weights, as the metadata of its file. */
export function metadataOf(model: Model): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = {
    format,
    version,
    config: JSON.stringify(model.config),
    preprocessing: JSON.stringify(model.preprocessing),
    class_names: JSON.stringify(model.classNames),
  };
  if (model.provenance !== undefined) metadata['provenance'] = JSON.stringify(model.provenance);
  if (model.card !== undefined) metadata['card'] = JSON.stringify(model.card);
  return metadata;
}

/**
 * The model in a file's bytes. Throws a CodaError: `malformed` for what is no model of ours, `unsupported` for one of a later version.
 * The weights are not compared with the config here: see `checkWeights`.
 */
export function decodeModel(bytes: Uint8Array, where: string): Model {
  const { tensors: weights, metadata } = decodeSafetensors(bytes, where);
  if (metadata['format'] !== format) {
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'this safetensors file is not a coda-nets model: its metadata does not say so',
      expected: `format "${format}"`,
      got: metadata['format'] === undefined ? 'none' : JSON.stringify(metadata['format']),
      hint: 'Foreign weights become a model with `coda import`.',
    });
  }
  if (metadata['version'] !== version) {
    throw new CodaError({
      kind: 'unsupported',
      where,
      problem: 'the model file has another version',
      expected: version,
      got: metadata['version'] ?? 'none',
    });
  }
  const config = field(metadata, 'config', v.looseObject({ kind: v.string() }), where);
  const preprocessing = field(metadata, 'preprocessing', preprocessingSchema, where);
  const classNames = field(metadata, 'class_names', v.array(className), where);
  const model = { config: config as Model['config'], preprocessing: preprocessing as Preprocessing, classNames, weights };
  return {
    ...model,
    ...(metadata['provenance'] !== undefined && { provenance: field(metadata, 'provenance', v.looseObject({}), where) as JsonObject }),
    ...(metadata['card'] !== undefined && { card: field(metadata, 'card', modelCardSchema, where) }),
  };
}

function field<Schema extends v.GenericSchema>(
  metadata: Readonly<Record<string, string>>,
  key: string,
  schema: Schema,
  where: string,
): v.InferOutput<Schema> {
  const place = `${where}: metadata "${key}"`;
  const text = metadata[key];
  if (text === undefined) throw new CodaError({ kind: 'malformed', where: place, problem: 'missing' });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CodaError({ kind: 'malformed', where: place, problem: 'not JSON', cause });
  }
  if (!nestsAtMost(value, maxNesting))
    throw new CodaError({ kind: 'malformed', where: place, problem: 'nested too deep', expected: `at most ${maxNesting} levels` });
  try {
    return parseConfig(schema, value, place);
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    throw error.as('malformed');
  }
}

function nestsAtMost(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => nestsAtMost(item, levels - 1));
}
