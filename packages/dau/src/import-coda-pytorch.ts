/** State dicts of the authors' PyTorch networks as weights of `codaNetwork`. Not a file reader: arrays in, arrays out. */
import { checkObject, CodaError, described, listedNames, ndArray, sameShape, type NamedArrays, type NdArray } from '@coda-nets/core';
import type { CodaConfig } from './coda-config.ts';
import { codaNetwork } from './coda-network.ts';
import { channelsLast, codaPytorchName, codaPytorchParts, layerShapes, readCodaPytorchNames, transposed } from './coda-pytorch-layout.ts';
import type { CodaPytorchPart, LayerShapes } from './coda-pytorch-layout.ts';

/** What a state dict says of a layer; its stride and padding leave no trace there. */
export interface CodaPytorchLayer {
  readonly out: number;
  readonly kernel: number;
  readonly rank: number;
  /** Of the first layer: 6 with the encoding `rgb6`, 3 with `none`. */
  readonly inputChannels: number;
}

/**
 * The weights of `codaNetwork(config)` from a state dict, whose indices in ascending order are the layers; names and axis orders stand in
 * `coda-pytorch-layout.ts`. float64 is rounded to float32, and refused where that overflows. `where` names the state dict in errors: a file.
 * Throws one CodaError of kind `mismatch` that says which layers of the config the state dict has otherwise, and lists missing, unexpected and
 * mismatched names together.
 */
export function importCodaPytorch(tensors: NamedArrays, config: CodaConfig, where = 'importCodaPytorch'): NamedArrays {
  checkObject(`${where}: tensors`, tensors, 'arrays by name');
  const layers = layerShapes(where, codaNetwork(config));
  const { prefix, indices, others } = readCodaPytorchNames(tensors);
  const missing: string[] = [];
  const unexpected = [...others];
  const mismatched: string[] = [];
  const weights: Record<string, NdArray<'float32'>> = {};
  for (const [l, { k, C, n, r, theirs }] of layers.entries()) {
    const index = indices[l];
    if (index === undefined) {
      missing.push(`all of layers[${l}]`);
      continue;
    }
    const [B, A, b] = codaPytorchParts.map((part) => {
      const name = codaPytorchName(prefix, index, part);
      const tensor = tensors[name];
      if (tensor === undefined) missing.push(name);
      else if (isFloat(tensor) && sameShape(tensor.shape, theirs[part]))
        return float32Of(tensor, `${where}: tensor ${JSON.stringify(name)}`);
      else
        mismatched.push(
          `${name} (layers[${l}]: expected float32 [${theirs[part].join(', ')}], got ${tensor.dtype} [${tensor.shape.join(', ')}])`,
        );
      return undefined;
    });
    if (A === undefined || B === undefined || b === undefined) continue;
    weights[`layers.${l}.B`] = ndArray('float32', [k, k, C, r], channelsLast(transposed(B, r, C * k * k), C, k, r));
    weights[`layers.${l}.A`] = ndArray('float32', [k, k, C, n, r], channelsLast(A, C, k, n * r));
    weights[`layers.${l}.b`] = ndArray('float32', [k, k, C, n], channelsLast(b, C, k, n));
  }
  for (const index of indices.slice(layers.length)) {
    unexpected.push(...codaPytorchParts.map((part) => codaPytorchName(prefix, index, part)).filter((name) => name in tensors));
  }
  const faults = [listed('missing', missing), listed('unexpected', unexpected), listed('mismatched', mismatched)].flat();
  if (faults.length === 0) return weights;
  const found = codaPytorchLayers(tensors);
  throw new CodaError({
    kind: 'mismatch',
    where,
    problem: `the state dict is not this config's: ${[...differences(layers, found), ...faults].join('; ')}`,
    hint:
      indices.length === 0
        ? `Names such as ${codaPytorchName('', 0, 'B')} were looked for.`
        : found && `It has the layers ${codaPytorchLayersJson(found)}; stride and padding leave no trace in it.`,
  });
}

/**
 * The layers of a state dict of the authors' networks, so that a config can be written for it. Undefined where names and shapes are not
 * those of such a network.
 */
export function codaPytorchLayers(tensors: NamedArrays): readonly CodaPytorchLayer[] | undefined {
  checkObject('codaPytorchLayers: tensors', tensors, 'arrays by name');
  const { prefix, indices } = readCodaPytorchNames(tensors);
  const layers: CodaPytorchLayer[] = [];
  for (const index of indices) {
    const shapeOf = (part: CodaPytorchPart): readonly number[] => tensors[codaPytorchName(prefix, index, part)]?.shape ?? [];
    const [rank = 0, inputChannels = 0, kernel = 0] = shapeOf('B');
    const [rows = 0] = shapeOf('b');
    const out = rows / (inputChannels * kernel * kernel);
    const fits =
      Number.isInteger(out) &&
      out > 0 &&
      sameShape(shapeOf('B'), [rank, inputChannels, kernel, kernel]) &&
      sameShape(shapeOf('A'), [rows, rank, 1, 1]) &&
      sameShape(shapeOf('b'), [rows]) &&
      inputChannels === (layers.at(-1)?.out ?? inputChannels);
    if (!fits) return undefined;
    layers.push({ out, kernel, rank, inputChannels });
  }
  return layers.length === 0 ? undefined : layers;
}

/** As the key `layers` of a config takes them. */
export function codaPytorchLayersJson(layers: readonly CodaPytorchLayer[]): string {
  if (!Array.isArray(layers)) {
    throw new CodaError({ kind: 'argument', where: 'codaPytorchLayersJson: layers', problem: 'not an array', got: described(layers) });
  }
  return JSON.stringify(layers.map(({ out, kernel, rank }) => ({ out, kernel, rank })));
}

/** Where the config says something else than the state dict, by the config's keys. */
function differences(layers: readonly LayerShapes[], found: readonly CodaPytorchLayer[] = []): string[] {
  if (found.length === 0) return [];
  const texts: string[] = [];
  const compare = (key: string, expected: number | undefined, got: number | undefined): void => {
    if (expected !== undefined && got !== undefined && expected !== got) texts.push(`${key}: expected ${expected}, got ${got}`);
  };
  compare('layers.length', layers.length, found.length);
  compare('channels of the encoding', layers[0]?.C, found[0]?.inputChannels);
  for (const [l, { n, k, r }] of layers.entries()) {
    compare(`layers[${l}].out`, n, found[l]?.out);
    compare(`layers[${l}].kernel`, k, found[l]?.kernel);
    compare(`layers[${l}].rank`, r, found[l]?.rank);
  }
  return texts;
}

function isFloat(array: NdArray): array is NdArray<'float32'> | NdArray<'float64'> {
  return array.dtype === 'float32' || array.dtype === 'float64';
}

/** Throws a CodaError for a float64 that float32 has no finite number for: it would be infinite there without a word. */
function float32Of({ data, shape }: NdArray<'float32'> | NdArray<'float64'>, where: string): Float32Array {
  if (data instanceof Float32Array) return data;
  const rounded = Float32Array.from(data);
  const overflow = rounded.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(data[i]));
  if (overflow === -1) return rounded;
  throw new CodaError({
    kind: 'numeric',
    where,
    problem: `the number at [${indexOf(overflow, shape).join(', ')}] is beyond float32, in which weights are kept`,
    expected: 'at most 3.4e38',
    got: String(data[overflow]),
  });
}

/** Of an entry in C order. */
function indexOf(entry: number, shape: readonly number[]): number[] {
  let left = entry;
  return shape
    .toReversed()
    .map((size) => {
      const index = left % size;
      left = Math.floor(left / size);
      return index;
    })
    .toReversed();
}

function listed(word: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${word} ${listedNames(names)}`];
}
