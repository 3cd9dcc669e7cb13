/**
 * State dicts of torchvision's and timm's ResNets, whose names are the same, as weights of `resnet`, and back. Not a file reader: arrays in, arrays out.
 * Only axes differ: kernels [out, in, k, k] there, [k, k, in, out] here; linear layers [out, in] there, [in, out] here.
 */
import { CodaError, ndArray, sameShape, sizeOf, type NamedArrays, type NdArray } from '@coda-nets/core';
import { parseResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { resnet } from './resnet.ts';

/** So many names of a kind are listed; a wholly different network would fill a screen. */
const namesListed = 8;
/** PyTorch counts the batches a batch norm has seen. Only a momentum of null uses the count, and these networks have 0.1. */
const batchCount = /(^|\.)num_batches_tracked$/;
/** What DataParallel writes before all names. */
const wrapped = 'module.';

/** Where element i of an array of `shape` is taken from, in the array with its axes in `order`. */
function transposed(data: Float32Array | Float64Array, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const sizes = order.map((axis) => shape[axis] as number);
  const steps = order.map((axis) => strides[axis] as number);
  const result = new Float32Array(data.length);
  const index = sizes.map(() => 0);
  let source = 0;
  for (let i = 0; i < result.length; i++) {
    result[i] = data[source] as number;
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      source += steps[axis] as number;
      if (++(index[axis] as number) < (sizes[axis] as number)) break;
      source -= (steps[axis] as number) * (sizes[axis] as number);
      index[axis] = 0;
    }
  }
  return result;
}

/** OIHW → HWIO; [out, in] → [in, out]. */
const toOurs: Readonly<Record<number, readonly number[]>> = { 1: [0], 2: [1, 0], 4: [2, 3, 1, 0] };
/** HWIO → OIHW; [in, out] → [out, in]. */
const toTheirs: Readonly<Record<number, readonly number[]>> = { 1: [0], 2: [1, 0], 4: [3, 2, 0, 1] };

const permuted = (shape: readonly number[], orders: typeof toOurs): readonly number[] =>
  (orders[shape.length] as readonly number[]).map((axis) => shape[axis] as number);

/**
 * The weights of `resnet(config)` from a state dict. float64 is rounded to float32, `num_batches_tracked` left out, a prefix `module.` dropped. `where` names
 * the state dict in errors: a file. Throws one CodaError of kind `mismatch` that lists missing, unexpected and mismatched names together.
 */
export function importStateDict(tensors: NamedArrays, options: ResnetOptions, where = 'importStateDict'): NamedArrays {
  const specs = resnet(parseResnetConfig(options)).weights;
  const names = Object.keys(tensors);
  const prefix = names.length > 0 && names.every((name) => name.startsWith(wrapped)) ? wrapped : '';
  const missing: string[] = [];
  const mismatched: string[] = [];
  const weights: Record<string, NdArray<'float32'>> = {};
  for (const [name, { shape }] of Object.entries(specs)) {
    const theirs = permuted(shape, toTheirs);
    const tensor = Object.hasOwn(tensors, prefix + name) ? tensors[prefix + name] : undefined;
    if (tensor === undefined) missing.push(prefix + name);
    else if (isFloat(tensor) && sameShape(tensor.shape, theirs)) {
      weights[name] = ndArray('float32', shape, transposed(tensor.data, theirs, toOurs[shape.length] as readonly number[]));
    } else {
      mismatched.push(`${prefix}${name} (expected float32 [${theirs.join(', ')}], got ${tensor.dtype} [${tensor.shape.join(', ')}])`);
    }
  }
  const unexpected = names.filter((name) => !Object.hasOwn(specs, name.slice(prefix.length)) && !batchCount.test(name));
  const faults = [listed('missing', missing), listed('unexpected', unexpected), listed('mismatched', mismatched)].flat();
  if (faults.length === 0) return weights;
  throw new CodaError({ kind: 'mismatch', where, problem: `the state dict is not this config's: ${faults.join('; ')}` });
}

/** The state dict that PyTorch loads strictly: the inverse of `importStateDict`, with a `num_batches_tracked` of 0 for each batch norm. */
export function exportStateDict(weights: NamedArrays, options: ResnetOptions): NamedArrays {
  const tensors: Record<string, NdArray> = {};
  for (const [name, { shape }] of Object.entries(resnet(parseResnetConfig(options)).weights)) {
    const { data } = weights[name] as NdArray<'float32'>;
    tensors[name] = ndArray('float32', permuted(shape, toTheirs), transposed(data, shape, toTheirs[shape.length] as readonly number[]));
    if (name.endsWith('.running_var')) {
      tensors[name.replace(/running_var$/, 'num_batches_tracked')] = ndArray('int64', [], BigInt64Array.of(0n));
    }
  }
  return tensors;
}

function isFloat(array: NdArray): array is NdArray<'float32'> | NdArray<'float64'> {
  return array.dtype === 'float32' || array.dtype === 'float64';
}

function listed(word: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > namesListed ? `, and ${names.length - namesListed} more` : '';
  return [`${word} ${names.slice(0, namesListed).join(', ')}${more}`];
}
