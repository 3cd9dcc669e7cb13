/**
 * State dicts of torchvision's and timm's ResNets, whose names are the same, as weights of `resnet`, and back. Not a file reader: arrays in, arrays out.
 * Only axes differ: kernels [out, in, k, k] there, [k, k, in, out] here; linear layers [out, in] there, [in, out] here.
 */
import { checkWeights, CodaError, ndArray, sameShape, sizeOf, type NamedArrays, type NdArray } from '@coda-nets/core';
import { parseResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { resnet } from './resnet.ts';

/** So many names of a kind are listed; a wholly different network would fill a screen. */
const namesListed = 8;
/** PyTorch counts the batches a batch norm has seen. Only a momentum of null uses the count, and these networks have 0.1. */
const batchCount = /(^|\.)num_batches_tracked$/;
/** What DataParallel writes before all names. */
const wrapped = 'module.';

/** Side of the squares in which a matrix is turned: rows of both stay in the fastest cache. */
const blockSide = 32;

/**
 * Kernels and linear layers are matrices of O rows and I·K columns, K places of the kernel, which lie there as [O, I, K] and here as [K, I, O]. `toOurs`: which of
 * the two `data` is; a vector stays as it is.
 */
function turned(data: Float32Array | Float64Array, [outputs = 1, inputs = 1, ...kernel]: readonly number[], toOurs: boolean): Float32Array {
  const places = sizeOf(kernel);
  const columns = inputs * places;
  const result = new Float32Array(data.length);
  for (let fromColumn = 0; fromColumn < columns; fromColumn += blockSide) {
    const toColumn = Math.min(columns, fromColumn + blockSide);
    for (let fromRow = 0; fromRow < outputs; fromRow += blockSide) {
      const toRow = Math.min(outputs, fromRow + blockSide);
      for (let column = fromColumn; column < toColumn; column++) {
        const ours = ((column % places) * inputs + Math.floor(column / places)) * outputs;
        if (toOurs) for (let row = fromRow; row < toRow; row++) result[ours + row] = data[row * columns + column] as number;
        else for (let row = fromRow; row < toRow; row++) result[row * columns + column] = data[ours + row] as number;
      }
    }
  }
  return result;
}

/** HWIO → OIHW; [in, out] → [out, in]. */
const toTheirs: Readonly<Record<number, readonly number[]>> = { 1: [0], 2: [1, 0], 4: [3, 2, 0, 1] };

const theirShape = (shape: readonly number[]): readonly number[] =>
  (toTheirs[shape.length] as readonly number[]).map((axis) => shape[axis] as number);

/** float32 of any array of floats in PyTorch's axes, as a weight of `shape`. Throws a CodaError that names `place` where a number is not finite. */
export function convertTensor({ data }: NdArray, shape: readonly number[], place: string): NdArray<'float32'> {
  const result = turned(data as Float32Array, theirShape(shape), true);
  if (!isFiniteThroughout(result)) {
    const at = result.findIndex((x) => !Number.isFinite(x));
    throw new CodaError({ kind: 'numeric', where: place, problem: 'a weight is not a finite float32', got: String(result[at]) });
  }
  return ndArray('float32', shape, result);
}

/** Whether no exponent is all ones, as those of NaN and the infinities are: on bits, in half the time of a comparison of numbers. */
function isFiniteThroughout({ buffer, byteOffset, length }: Float32Array): boolean {
  const bits = new Int32Array(buffer, byteOffset, length);
  let carry = 0;
  for (let i = 0; i < length; i++) carry |= (((bits[i] as number) >> 23) & 0xff) + 1;
  return (carry & 0x100) === 0;
}

interface TensorLike {
  readonly shape: readonly number[];
  /** Of an array, or of a tensor in a safetensors file. */
  readonly dtype: string;
}

/** 16-bit floats of a file become float32 when they are read. */
const floats = new Set(['float32', 'float64', 'F64', 'F32', 'F16', 'BF16']);

/**
 * Compares a state dict with a config: where each of its tensors goes, by its name there, the name and shape of the weight. Looks at no values. A prefix
 * `module.` and `num_batches_tracked` are passed over. Throws one CodaError of kind `mismatch` that lists missing, unexpected and mismatched names.
 */
export function checkStateDict(
  tensors: Readonly<Record<string, TensorLike>>,
  options: ResnetOptions,
  where: string,
): ReadonlyMap<string, { readonly name: string; readonly shape: readonly number[] }> {
  const specs = resnet(parseResnetConfig(options)).weights;
  const names = Object.keys(tensors);
  const prefix = names.length > 0 && names.every((name) => name.startsWith(wrapped)) ? wrapped : '';
  const missing: string[] = [];
  const mismatched: string[] = [];
  const places = new Map<string, { readonly name: string; readonly shape: readonly number[] }>();
  for (const [name, { shape }] of Object.entries(specs)) {
    const theirs = theirShape(shape);
    const tensor = Object.hasOwn(tensors, prefix + name) ? tensors[prefix + name] : undefined;
    if (tensor === undefined) missing.push(prefix + name);
    else if (floats.has(tensor.dtype) && sameShape(tensor.shape, theirs)) places.set(prefix + name, { name, shape });
    else mismatched.push(`${prefix}${name} (expected float32 [${theirs.join(', ')}], got ${tensor.dtype} [${tensor.shape.join(', ')}])`);
  }
  const unexpected = names.filter((name) => !Object.hasOwn(specs, name.slice(prefix.length)) && !batchCount.test(name));
  const faults = [listed('missing', missing), listed('unexpected', unexpected), listed('mismatched', mismatched)].flat();
  if (faults.length === 0) return places;
  throw new CodaError({ kind: 'mismatch', where, problem: `the state dict is not this config's: ${faults.join('; ')}` });
}

/**
 * The weights of `resnet(config)` from a state dict. float64 is rounded to float32, `num_batches_tracked` left out, a prefix `module.` dropped. `where` names
 * the state dict in errors: a file. Throws one CodaError of kind `mismatch` that lists missing, unexpected and mismatched names together,
 * and one of kind `numeric` where a weight is not finite.
 */
export function importStateDict(tensors: NamedArrays, options: ResnetOptions, where = 'importStateDict'): NamedArrays {
  const places = [...checkStateDict(tensors, options, where)];
  return Object.fromEntries(
    places.map(([theirs, { name, shape }]) => [name, convertTensor(tensors[theirs] as NdArray, shape, `${where}: ${theirs}`)]),
  );
}

/** The state dict that PyTorch loads strictly: the inverse of `importStateDict`, with a `num_batches_tracked` of 0 for each batch norm. Throws a CodaError where weights are not the network's. */
export function exportStateDict(weights: NamedArrays, options: ResnetOptions): NamedArrays {
  const network = resnet(parseResnetConfig(options));
  checkWeights(network, weights, 'exportStateDict: weights');
  const tensors: Record<string, NdArray> = {};
  for (const [name, { shape }] of Object.entries(network.weights)) {
    const { data } = weights[name] as NdArray<'float32'>;
    tensors[name] = ndArray('float32', theirShape(shape), turned(data, theirShape(shape), false));
    if (name.endsWith('.running_var')) {
      tensors[name.replace(/running_var$/, 'num_batches_tracked')] = ndArray('int64', [], BigInt64Array.of(0n));
    }
  }
  return tensors;
}

function listed(word: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > namesListed ? `, and ${names.length - namesListed} more` : '';
  return [`${word} ${names.slice(0, namesListed).join(', ')}${more}`];
}
