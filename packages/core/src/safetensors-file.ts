/**
 * A safetensors file that is read a part at a time: the header when it is opened, a tensor when it is asked for, at the cost of its own bytes.
 * Not a cache: what is read twice is fetched twice.
 */
import { allocateBytes } from './allocate-bytes.ts';
import type { ByteSource, ReadOptions } from './byte-source.ts';
import { decodeTensor } from './decode-safetensors.ts';
import { CodaError } from './errors.ts';
import { requireLittleEndian } from './little-endian.ts';
import { nearestName } from './nearest-name.ts';
import type { NamedArrays, NdArray } from './nd-array.ts';
import { isHalf } from './safetensors-dtypes.ts';
import { headerEnd, parseHeader, type Header, type TensorInfo, type TensorPlace } from './safetensors-header.ts';

/**
 * Neighbours in the file are read together, up to so many bytes: few requests, and 16-bit tensors, which are copied into float32, need only so much
 * beside what they become.
 */
const maxRunBytes = 2 ** 24;
/** What `visit` reads at a time: what is seen once should still be in the cache. */
const visitRunBytes = 2 ** 22;

/** A tensor of a file, or of one file of several. */
export interface LocatedTensor extends TensorPlace {
  readonly source: ByteSource;
}

export interface ReadAllOptions extends ReadOptions {
  /** Default: every tensor. */
  readonly names?: readonly string[] | undefined;
}

export interface SafetensorsFile {
  /** Of several files: what all of them say. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, from the header alone. */
  readonly tensors: Readonly<Record<string, TensorInfo>>;
  /** One tensor; F16 and BF16 become float32, exactly. Rejects with a CodaError that names the tensor. */
  read(name: string, options?: ReadOptions): Promise<NdArray>;
  /** Many tensors, neighbours in one go. Needs the memory of the arrays, and for 16-bit tensors 16 MiB more, or what one tensor takes. */
  readAll(options?: ReadAllOptions): Promise<NamedArrays>;
  /**
   * Hands tensors over in the order of the file, each for the duration of the call alone: the memory is used again, so that a large file costs no more than its
   * largest tensor, or 4 MiB, beside what is made of it.
   */
  visit(each: (name: string, array: NdArray) => void, options?: ReadAllOptions): Promise<void>;
  close(): Promise<void>;
}

/** The checked header of what `source` holds. */
export async function readHeader(source: ByteSource, signal?: AbortSignal): Promise<Header> {
  const { where, size } = source;
  requireLittleEndian(where);
  const end = headerEnd(await source.read(0, Math.min(size, 16), { signal }), size, where);
  return parseHeader(await source.read(8, end, { signal }), size, where);
}

interface Contents {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly LocatedTensor[];
  /** Names them together in errors. */
  readonly where: string;
  /** They are closed with the file. */
  readonly sources: readonly ByteSource[];
}

/** Reads tensors where they lie. */
export function safetensorsFile({ metadata, tensors: located, where, sources }: Contents): SafetensorsFile {
  const byName = new Map(located.map((tensor) => [tensor.name, tensor]));
  const tensors = Object.fromEntries(located.map(({ name, dtype, shape, bytes }) => [name, { dtype, shape, bytes }]));
  const find = (name: string): LocatedTensor => {
    const tensor = byName.get(name);
    if (tensor !== undefined) return tensor;
    const near = nearestName(name, [...byName.keys()]);
    const hint = near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`;
    throw new CodaError({ kind: 'argument', where, problem: `there is no tensor ${JSON.stringify(name)}`, hint });
  };
  const select = (names: readonly string[] | undefined): readonly LocatedTensor[] =>
    names === undefined ? located : [...new Set(names)].map(find);
  const readRuns = async (
    wanted: readonly LocatedTensor[],
    each: (name: string, array: NdArray) => void,
    { onProgress, signal }: ReadOptions,
    runBytes = maxRunBytes,
    reuse = false,
  ): Promise<void> => {
    const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    const onBytes = (count: number): void => onProgress?.((done += count), total);
    const runs = runsOf(wanted, sources, runBytes).map((run) => ({ run, begin: run[0]?.begin as number, end: run.at(-1)?.end as number }));
    const into = reuse ? allocateBytes(Math.max(0, ...runs.map(({ begin, end }) => end - begin)), where) : undefined;
    for (const { run, begin, end } of runs) {
      const bytes = await (run[0] as LocatedTensor).source.read(begin, end, { onBytes, signal, into });
      for (const tensor of run) each(tensor.name, decodeTensor(tensor, bytes, tensor.begin - begin));
    }
  };
  return {
    metadata,
    tensors,
    async read(name, options = {}) {
      let found: NdArray | undefined;
      await readRuns([find(name)], (_, array) => (found = array), options);
      return found as unknown as NdArray;
    },
    async readAll({ names, ...options } = {}) {
      const arrays: Record<string, NdArray> = {};
      await readRuns(select(names), (name, array) => (arrays[name] = array), options);
      return arrays;
    },
    visit: async (each, { names, ...options } = {}) => readRuns(select(names), each, options, visitRunBytes, true),
    async close() {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

/** Neighbours together, files one after the other. A run is of 16-bit tensors or has none, so that the bytes of the former are not kept by a view. */
function runsOf(tensors: readonly LocatedTensor[], sources: readonly ByteSource[], most: number): LocatedTensor[][] {
  const runs: LocatedTensor[][] = [];
  const inOrder = tensors.toSorted((a, b) => sources.indexOf(a.source) - sources.indexOf(b.source) || a.begin - b.begin || a.end - b.end);
  for (const tensor of inOrder) {
    const run = runs.at(-1);
    const [first, last] = [run?.[0], run?.at(-1)];
    const together =
      first !== undefined &&
      last?.source === tensor.source &&
      last.end === tensor.begin &&
      isHalf(last.dtype) === isHalf(tensor.dtype) &&
      tensor.end - first.begin <= most;
    if (together) run?.push(tensor);
    else runs.push([tensor]);
  }
  return runs;
}
