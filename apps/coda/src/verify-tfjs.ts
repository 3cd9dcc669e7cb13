/** Runs an ONNX file beside the model of TensorFlow.js it was made from, and measures how far they are apart. */
import { CodaError, ndArray, openSize, Random, sizeOf, type ArraySpec, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import type { OnnxFile } from '@coda-nets/engine';
import { difference, largest } from './difference.ts';
import type { OpenTfjsModel } from './open-tfjs-model.ts';

export interface TfjsVerification {
  /** Batches and sizes that were run: the shapes of the first input. */
  readonly shapes: readonly (readonly number[])[];
  /** Of each output the largest |file − model|, divided by the model's largest number. */
  readonly outputs: Readonly<Record<string, number>>;
  readonly maxRelDiff: number;
}

/** What stands for `batch`, and for any other open size, in each run: the batch is seen to be free, and so is space. */
const BATCHES = [1, 3, 64] as const;
const SIZES = [96, 131, 64] as const;
/** Of sizes that are multiples, such as `32*height`. */
const MULTIPLES = [3, 4, 2] as const;
/** A batch of 64 is left out where an input would have more numbers: eager TensorFlow.js takes minutes for those. */
const MOST_NUMBERS = 4_000_000;

/** The signature with numbers for its open sizes in run `run`; `undefined` for one that would be too large. */
export function sizedInputs(
  specs: Readonly<Record<string, ArraySpec>>,
  run: number,
): Readonly<Record<string, ArraySpec & { readonly shape: readonly number[] }>> | undefined {
  const symbols = [
    ...new Set(Object.values(specs).flatMap(({ shape }) => shape.filter((d) => typeof d === 'string').map((d) => openSize(d).symbol))),
  ];
  const size = (d: number | string): number => {
    if (typeof d === 'number') return d;
    const { symbol, times } = openSize(d);
    if (symbol === 'batch') return (BATCHES[run] as number) * times;
    // two sizes differ, so that none is taken for the other
    return times > 1 ? times * (MULTIPLES[run] as number) : (SIZES[run] as number) + 8 * symbols.indexOf(symbol);
  };
  const sized = Object.fromEntries(Object.entries(specs).map(([name, { shape, dtype }]) => [name, { dtype, shape: shape.map(size) }]));
  return run > 0 && Object.values(sized).some(({ shape }) => sizeOf(shape) > MOST_NUMBERS) ? undefined : sized;
}

/** Runs in which something changes: one, where nothing is open. */
const runsOf = (specs: Readonly<Record<string, ArraySpec>>): readonly number[] =>
  Object.values(specs).some(({ shape }) => shape.some((d) => typeof d === 'string')) ? [0, 1, 2] : [0];

/** Numbers of [0, 1) and whole numbers of 0 … 1, which are positions in any table of two rows. */
export function randomInputs(
  specs: Readonly<Record<string, ArraySpec & { readonly shape: readonly number[] }>>,
  seed: number,
): NamedArrays {
  const random = Random.seeded(seed).split('verify');
  return Object.fromEntries(
    Object.entries(specs).map(([name, { dtype, shape }]): [string, NdArray] => {
      const length = sizeOf(shape);
      if (dtype === 'float32')
        return [
          name,
          ndArray(
            'float32',
            shape,
            Float32Array.from({ length }, () => random.uniform()),
          ),
        ];
      const bits = Int32Array.from({ length }, () => random.below(2));
      return [name, dtype === 'bool' ? ndArray('bool', shape, Uint8Array.from(bits)) : ndArray('int32', shape, bits)];
    }),
  );
}

/**
 * `reference` runs the model by other means than the file: an eager engine. Every output of the file is compared, on random numbers; one that the model does not
 * have is an error. Disposes of `file`.
 */
export async function verifyTfjs(
  file: OnnxFile,
  where: string,
  model: OpenTfjsModel,
  reference: Engine,
  seed: number,
): Promise<TfjsVerification> {
  try {
    const specs = model.signature.inputs;
    checkNames(where, 'inputs', Object.keys(specs), file.inputs);
    const outputs = new Map(file.outputs.map(({ name }) => [name, 0]));
    const shapes: (readonly number[])[] = [];
    for (const run of runsOf(specs)) {
      const sized = sizedInputs(specs, run);
      if (sized === undefined) continue;
      const inputs = randomInputs(sized, seed + run);
      const compiled = await reference.compile(model.fn, { inputs: sized });
      const [got, expected] = [await file.run(inputs), await compiled.run(inputs)];
      await compiled.dispose();
      checkNames(where, 'outputs', Object.keys(expected), file.outputs);
      shapes.push(Object.values(sized)[0]?.shape ?? []);
      for (const [name, { data, shape }] of Object.entries(expected)) {
        const result = got[name] as NdArray;
        if (result.shape.join() !== shape.join()) {
          throw new CodaError({
            kind: 'mismatch',
            where: `${where}: output "${name}"`,
            problem: 'another shape than the model gives',
            expected: `[${shape.join(', ')}]`,
            got: `[${result.shape.join(', ')}]`,
          });
        }
        const numbers = data as ArrayLike<number>;
        // an output that is 0 everywhere has no scale of its own
        const deviation = difference(result.data as ArrayLike<number>, numbers) / (largest(numbers, 0) || 1);
        outputs.set(name, Math.max(outputs.get(name) as number, deviation));
      }
    }
    return { shapes, outputs: Object.fromEntries(outputs), maxRelDiff: Math.max(...outputs.values()) };
  } catch (error) {
    throw CodaError.isInstance(error) && !error.where.startsWith(where) ? error.within(where) : error;
  } finally {
    await file.dispose();
  }
}

function checkNames(
  where: string,
  what: 'inputs' | 'outputs',
  expected: readonly string[],
  file: readonly { readonly name: string }[],
): void {
  const got = file.map(({ name }) => name);
  if (got.toSorted().join('\n') === [...expected].sort().join('\n')) return;
  throw new CodaError({
    kind: 'mismatch',
    where,
    problem: `its ${what} are not the model's`,
    expected: expected.join(', '),
    got: got.join(', '),
  });
}
