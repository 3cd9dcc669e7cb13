/**
 * The index of a model that is split over several safetensors files, as `transformers` writes it: `model.safetensors.index.json`, whose `weight_map`
 * says for each tensor which file beside it has it. Tensors of those files that the map does not name are left out.
 */
import type { ByteSource } from './byte-source.ts';
import { CodaError } from './errors.ts';
import { jsonOddity } from './json-oddity.ts';
import { listedNames } from './listed-names.ts';
import { readHeader, safetensorsFile, type LocatedTensor, type SafetensorsFile } from './safetensors-file.ts';
import { decodeUtf8, isObject, malformed, maxHeaderBytes, maxTensors } from './safetensors-header.ts';
import { shown } from './shown.ts';

/** Twice the shards of the largest public checkpoints, and half of the files that a process may have open by default. */
export const maxShards = 500;
/** So many headers are read at a time. */
const shardsAtOnce = 8;
/** Weight map and metadata; what others keep there besides is not read. */
const indexDepth = 16;

/** Opens a file that lies beside the index, by its plain name. */
export type OpenSibling = (name: string) => Promise<ByteSource>;

/** Whether these are the first bytes of an index: as the header length of a safetensors file they would be absurd. */
export function isIndex(start: Uint8Array): boolean {
  return start.length >= 8 && start[0] === 0x7b && start[7] !== 0;
}

/** Rejects with a CodaError that names the index, or the file beside it, that is wrong; what was opened is closed then. */
export async function openIndex(index: ByteSource, openSibling: OpenSibling, signal?: AbortSignal): Promise<SafetensorsFile> {
  const { where, size } = index;
  if (size > maxHeaderBytes) throw malformed(where, 'the index is too long', `at most ${maxHeaderBytes} bytes`, `${size}`);
  const shards = [...parseIndex(await index.read(0, size, { signal }), where)];
  const opened: Shard[] = [];
  try {
    for (let i = 0; i < shards.length; i += shardsAtOnce) {
      const next = shards.slice(i, i + shardsAtOnce).map(async ([shard, names]) => openShard(await openSibling(shard), names, signal));
      const results = await Promise.allSettled(next);
      for (const result of results) if (result.status === 'fulfilled') opened.push(result.value);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
  } catch (error) {
    await Promise.all(opened.map(({ source }) => source.close()));
    throw error;
  }
  const [first, ...others] = opened.map(({ metadata }) => metadata);
  const shared = Object.entries(first ?? {}).filter(([key, text]) =>
    others.every((metadata) => Object.hasOwn(metadata, key) && metadata[key] === text),
  );
  const tensors = opened.flatMap(({ tensors }) => tensors);
  return safetensorsFile({ metadata: Object.fromEntries(shared), tensors, where, sources: opened.map(({ source }) => source) });
}

interface Shard {
  readonly source: ByteSource;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly LocatedTensor[];
}

async function openShard(source: ByteSource, names: ReadonlySet<string>, signal: AbortSignal | undefined): Promise<Shard> {
  try {
    const { metadata, places } = await readHeader(source, signal);
    const tensors = places.filter(({ name }) => names.has(name)).map((place) => ({ ...place, source }));
    if (tensors.length === names.size) return { source, metadata, tensors };
    const there = new Set(tensors.map(({ name }) => name));
    const missing = [...names].filter((name) => !there.has(name));
    throw new CodaError({
      kind: 'mismatch',
      where: source.where,
      problem: `tensors that the index has in this file are not there: ${listedNames(missing)}`,
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The names of the tensors in each file. */
function parseIndex(utf8: Uint8Array, where: string): ReadonlyMap<string, ReadonlySet<string>> {
  const text = decodeUtf8(utf8, 'the index', where);
  const oddity = jsonOddity(text, { maxDepth: indexDepth });
  if (oddity !== undefined) throw malformed(where, `the index has ${oddity}`);
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw malformed(where, 'the index is not JSON', undefined, undefined, cause);
  }
  const weightMap = isObject(index) ? index['weight_map'] : undefined;
  const place = `${where}: weight_map`;
  if (!isObject(weightMap)) throw malformed(place, 'not an object', undefined, shown(weightMap));
  const entries = Object.entries(weightMap);
  if (entries.length > maxTensors) throw malformed(where, 'too many tensors', `at most ${maxTensors}`);
  const shards = new Map<string, Set<string>>();
  for (const [name, shard] of entries) {
    if (typeof shard !== 'string' || !isPlainName(shard)) {
      throw malformed(
        `${place}: tensor ${JSON.stringify(name)}`,
        'not a file beside the index',
        'the name of a .safetensors file',
        shown(shard),
      );
    }
    const names = shards.get(shard) ?? new Set();
    shards.set(shard, names.add(name));
    if (shards.size > maxShards) throw malformed(place, 'too many files', `at most ${maxShards}`);
  }
  return shards;
}

/** A name without a way out of the folder: no separator of any system, no drive, no stream, no escape sequence. */
export function isPlainName(name: string): boolean {
  return /^[^/\\:\p{Cc}]+\.safetensors$/u.test(name) && !name.startsWith('.');
}
