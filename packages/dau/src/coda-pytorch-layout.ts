/**
 * How the authors' PyTorch networks name and lay out the weights of a DAU layer. Each is a k×k convolution to r channels and a 1×1 convolution
 * from there to the entries of all weight vectors, in an `nn.Sequential` (arXiv 2109.13004, section 3):
 *
 *     <i>.weight_mod.weighting_f.0.weight   [r, C, k, k]       B, shared by all n units
 *     <i>.weight_mod.weighting_f.1.weight   [d·n, r, 1, 1]     A      d = C·k², row = ((c·k + ky)·k + kx)·n + unit
 *     <i>.weight_mod.weighting_f.1.bias     [d·n]              b      in the same order
 *
 * Ours: B [k, k, C, r], A [k, k, C, n, r], b [k, k, C, n]. Modules without weights (dropout, pooling) take indices too, and a wrapper puts a
 * prefix such as `module.` before all names.
 */
import { CodaError, type NamedArrays, type Network } from '@coda-nets/core';

const endings = { B: '0.weight', A: '1.weight', b: '1.bias' } as const;
export type CodaPytorchPart = keyof typeof endings;
export const codaPytorchParts = Object.keys(endings) as readonly CodaPytorchPart[];

const pattern = /^((?:.*\.)?)(0|[1-9]\d{0,8})\.weight_mod\.weighting_f\.(?:0\.weight|1\.weight|1\.bias)$/;

/** The authors' name of a part of layer `index`. */
export function codaPytorchName(prefix: string, index: number, part: CodaPytorchPart): string {
  return `${prefix}${index}.weight_mod.weighting_f.${endings[part]}`;
}

export interface CodaPytorchNames {
  /** With its dot: `module.`; of several the one with the most names. */
  readonly prefix: string;
  /** Of the layers under the prefix, ascending. */
  readonly indices: readonly number[];
  /** All names but those of these layers. */
  readonly others: readonly string[];
}

/** The layers that a state dict has, by their names alone. */
export function readCodaPytorchNames(tensors: NamedArrays): CodaPytorchNames {
  const names = Object.keys(tensors).map((name) => ({ name, match: pattern.exec(name) }));
  const counts = new Map<string, number>();
  for (const { match } of names) if (match !== null) counts.set(match[1] as string, (counts.get(match[1] as string) ?? 0) + 1);
  const prefix = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), ['', 0])[0];
  const isLayer = (match: RegExpExecArray | null): match is RegExpExecArray => match?.[1] === prefix;
  const indices = new Set(names.flatMap(({ match }) => (isLayer(match) ? [Number(match[2])] : [])));
  return {
    prefix,
    indices: [...indices].sort((a, b) => a - b),
    others: names.flatMap(({ name, match }) => (isLayer(match) ? [] : [name])),
  };
}

/** A layer in the letters of the papers: kernel, input channels, units, rank. */
export interface LayerShapes {
  readonly k: number;
  readonly C: number;
  readonly n: number;
  readonly r: number;
  /** Of the authors' tensors. */
  readonly theirs: Readonly<Record<CodaPytorchPart, readonly number[]>>;
}

/** The layers of a CoDA network, read off its own weights. Throws a CodaError for efficient units: the authors' layout is that of DAUs, which have b. */
export function layerShapes(where: string, { weights }: Pick<Network, 'weights'>): readonly LayerShapes[] {
  if (weights['layers.0.b'] === undefined) {
    const problem = 'efficient units have no place in the authors’ state dicts';
    throw new CodaError({ kind: 'unsupported', where: `${where}: config: norm`, problem, expected: 'sq or l2' });
  }
  const shapes: LayerShapes[] = [];
  for (let spec = weights['layers.0.A']; spec !== undefined; spec = weights[`layers.${shapes.length}.A`]) {
    const [k, , C, n, r] = spec.shape as readonly [number, number, number, number, number];
    const d = C * k * k;
    shapes.push({ k, C, n, r, theirs: { B: [r, C, k, k], A: [d * n, r, 1, 1], b: [d * n] } });
  }
  return shapes;
}

/** [C, k, k, block] → [k, k, C, block] */
export function channelsLast(data: Float32Array, channels: number, kernel: number, block: number): Float32Array {
  return movedBlocks(data, channels, kernel * kernel, block);
}

/** [k, k, C, block] → [C, k, k, block] */
export function channelsFirst(data: Float32Array, channels: number, kernel: number, block: number): Float32Array {
  return movedBlocks(data, kernel * kernel, channels, block);
}

/** [rows, columns] → [columns, rows] */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  return movedBlocks(data, rows, columns, 1);
}

/** [rows, columns, block] → [columns, rows, block] */
function movedBlocks(data: Float32Array, rows: number, columns: number, block: number): Float32Array {
  const moved = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const from = (i * columns + j) * block;
      moved.set(data.subarray(from, from + block), (j * rows + i) * block);
    }
  }
  return moved;
}
