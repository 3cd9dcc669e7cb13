/** The files of an explanation: pictures, maps as .npy, and one JSON that says what each number is. */
import { CodaError, encodeNpy, ndArray, sizeOf, type NdArray, type Network } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { encodePng, pictureOf, strip, type Explanation, type Interpolation } from '@coda-nets/depth';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NamedMethod } from './depth/named-method.ts';
import type { ImageInputs } from './image-inputs.ts';

export interface WriteOptions {
  readonly out: string;
  readonly inputs: ImageInputs;
  readonly explanations: readonly Explanation[];
  readonly network: Network;
  readonly classNames: readonly string[];
  readonly method: NamedMethod;
  /** How maps are enlarged in pictures. */
  readonly interpolation: Interpolation;
}

/** Returns the files written, `explanation.json` last: where it is, all others are. */
export async function writeExplanations(options: WriteOptions): Promise<readonly string[]> {
  const { out, inputs, explanations, network, classNames, method, interpolation } = options;
  const inexact = isGradientTimesActivation(method)
    ? { text: 'gradient × activation', short: 'grad×act' }
    : { text: method.name, short: method.name };
  await mkdir(out, { recursive: true }).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    const problem =
      code === 'EEXIST' || code === 'ENOTDIR'
        ? 'a file is where the folder should be'
        : `the folder cannot be made (${code ?? String(cause)})`;
    throw new CodaError({ kind: 'argument', where: `explain: --out ${JSON.stringify(out)}`, problem, cause });
  });
  const files: string[] = [];
  const write = async (name: string, bytes: Uint8Array | string): Promise<void> => {
    files.push(join(out, name));
    await writeFileAtomic(join(out, name), bytes);
  };
  if (inputs.batch) {
    await write('logits.npy', encodeNpy(stacked(explanations.map(({ logits }) => logits))));
    for (const [i, { name }] of (explanations[0]?.taps ?? []).entries()) {
      await write(`${name}.npy`, encodeNpy(stacked(explanations.map(({ taps }) => taps[i]?.map as NdArray<'float32'>))));
    }
  } else {
    for (const [n, explanation] of explanations.entries()) {
      const name = inputs.names[n] as string;
      const picture = strip(pictureOf(imageOf(inputs.images, n)), explanation, {
        label: classNames[explanation.target] ?? '',
        kind: inexact.short,
        interpolation,
      });
      await write(`${name}.png`, await encodePng(picture));
      for (const tap of explanation.taps) await write(`${name}.${tap.name}.npy`, encodeNpy(tap.map));
    }
  }
  const record = {
    method: method.name,
    preset: method.preset,
    parameters: method.method.parameters,
    logitBias: network.logitBias,
    inputs: explanations.map((explanation, n) => ({
      input: inputs.names[n],
      target: explanation.target,
      targetName: classNames[explanation.target],
      logit: explanation.logit,
      probability: explanation.probability,
      taps: explanation.taps.map(({ name, exact, sum, expected, residual, map }) => ({
        tap: name,
        kind: exact ? 'exact' : inexact.text,
        exact,
        shape: map.shape,
        sumOfContributions: sum,
        logitMinusBias: expected,
        residual,
      })),
    })),
  };
  await write('explanation.json', `${JSON.stringify(record, null, 2)}\n`);
  return files;
}

/** The files that `writeExplanations` writes into `out`. */
export function explanationFiles(out: string, { names, batch }: ImageInputs, taps: readonly string[]): readonly string[] {
  const files = batch
    ? ['logits.npy', ...taps.map((tap) => `${tap}.npy`)]
    : names.flatMap((name) => [`${name}.png`, ...taps.map((tap) => `${name}.${tap}.npy`)]);
  return [...files, 'explanation.json'].map((name) => join(out, name));
}

function isGradientTimesActivation({ method: { name } }: NamedMethod): boolean {
  return name === 'contributions' || name === 'inputXGradient';
}

/** Image n of a batch [N, H, W, 3]. */
export function imageOf(images: NdArray<'float32'>, n: number): NdArray<'float32'> {
  const shape = images.shape.slice(1);
  const size = sizeOf(shape);
  return ndArray('float32', shape, images.data.slice(n * size, (n + 1) * size));
}

function stacked(arrays: readonly NdArray<'float32'>[]): NdArray<'float32'> {
  const shape = arrays[0]?.shape ?? [];
  const data = new Float32Array(arrays.length * sizeOf(shape));
  for (const [n, array] of arrays.entries()) data.set(array.data, n * sizeOf(shape));
  return ndArray('float32', [arrays.length, ...shape], data);
}
