/**
 * Attribution maps of several one-pass methods at any taps, on host arrays: one graph with a dynamic batch, run in chunks. The forward pass is
 * shared by all, a backward pass by those of one scope: Grad, input × gradient and the Grad-CAMs together cost what one of them does.
 */
import { CodaError, ndArray, sizeOf } from '@coda-nets/core';
import type { ArraySpec, NamedTensors, NdArray } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import type { Attribution, AttributorOptions, TapMaps } from './attributor.ts';
import { checkTargets } from './check-targets.ts';
import { rowsWithin } from './memory-budget.ts';
import type { Method, OnePassMethod } from './methods/method.ts';
import { checkTaps, passAtTaps, type TapPass } from './pass-at-taps.ts';
import { repeatRows } from './repeat-rows.ts';
import { inChunks } from './tap-model.ts';

export interface JointAttributorOptions extends Omit<AttributorOptions, 'method' | 'onShare'> {
  /** None gives logits and probabilities from a forward pass alone. */
  readonly methods: readonly OnePassMethod[];
}

export interface JointAttribution extends Omit<Attribution, 'taps'> {
  /** For each method, in their order, its taps from the input to the output. */
  readonly methods: readonly (readonly TapMaps[])[];
}

export interface JointAttributor {
  readonly taps: readonly string[];
  /** As `Attributor.attribute`. */
  attribute(images: NdArray<'float32'>, targets?: 'top' | readonly number[]): Promise<JointAttribution>;
  dispose(): Promise<void>;
}

/** Compiles an attributor of all methods; `dispose` it when done. */
export async function jointAttributor(options: JointAttributorOptions): Promise<JointAttributor> {
  const { engine, network, weights, methods, signal, taps = network.taps.map(({ name }) => name) } = options;
  const { imageSize = [network.inputShape[0], network.inputShape[1]] } = options;
  const { chunk = rowsWithin({ network, imageSize }) } = options;
  checkTaps('attribute', network, taps);
  const names = network.taps.map(({ name }) => name).filter((name) => taps.includes(name));
  const image: ArraySpec = { shape: ['batch', ...imageSize, 3], dtype: 'float32' };
  const compiled = await engine.compile(
    (tensors) => {
      const own = Object.fromEntries(Object.keys(weights).map((name) => [name, tensors[`weight:${name}`] as tf.Tensor]));
      const images = tensors['image'] as tf.Tensor4D;
      const target = tensors['target'] as tf.Tensor1D;
      const outputs = mapsOf((tapNames) => passAtTaps('attribute', network, own, images, target, tapNames), names, methods);
      return { ...outputs, probabilities: network.probabilities(outputs['logits'] as tf.Tensor2D) };
    },
    {
      inputs: { image, target: { shape: ['batch'], dtype: 'int32' } },
      // The prefix keeps a weight from being called `image`.
      constants: Object.fromEntries(Object.entries(weights).map(([name, array]) => [`weight:${name}`, array])),
    },
  );
  const exact = (method: OnePassMethod, name: string): boolean =>
    method.name === 'contributions' && network.taps.some((tap) => tap.name === name && tap.exact);
  return {
    taps: names,
    attribute: async (images, targets = 'top') => {
      const count = images.shape[0] ?? 0;
      if (count === 0) throw new CodaError({ kind: 'argument', where: 'attribute: images', problem: 'there are none' });
      const each = targets === 'top' ? 1 : targets.length / count;
      const image = Number.isInteger(each) && each > 0 ? repeatRows(images, each) : images;
      const wanted = checkTargets('attribute', image, targets, network.classes, imageSize);
      const target = ndArray('int32', [wanted.length], wanted);
      const outputs = (await inChunks('attribute', compiled, { image, target }, { chunk, signal })) as Record<string, NdArray<'float32'>>;
      const array = (name: string): NdArray<'float32'> => outputs[name] as NdArray<'float32'>;
      return {
        logits: array('logits'),
        probabilities: array('probabilities'),
        targets: classesOf(array('selector')),
        expected: array('expected').data,
        methods: methods.map((method, m) =>
          names.map((name, t) => {
            const maps = array(outputName(m, t));
            checkFinite(maps, name, method);
            return { name, exact: exact(method, name), maps };
          }),
        ),
      };
    },
    dispose: () => compiled.dispose(),
  };
}

/** `pass` at the taps once in each scope, and every method's formula of it. */
function mapsOf(pass: (taps: readonly string[]) => TapPass, names: readonly string[], methods: readonly OnePassMethod[]): NamedTensors {
  const passes = new Map<OnePassMethod['within'], TapPass>();
  const passIn = (within: OnePassMethod['within']): TapPass => {
    const found = passes.get(within) ?? (within === undefined ? pass(names) : within(() => pass(names)));
    passes.set(within, found);
    return found;
  };
  const outputs: Record<string, tf.Tensor> = {};
  for (const [m, { within, formula }] of methods.entries()) {
    const { activations, gradients } = passIn(within);
    for (const [t, name] of names.entries()) {
      outputs[outputName(m, t)] = formula(activations[name] as tf.Tensor4D, gradients[name] as tf.Tensor4D);
    }
  }
  const { logits, selector, expected } = passes.values().next().value ?? pass([]);
  return { logits, selector, expected, ...outputs };
}

function outputName(method: number, tap: number): string {
  return `map${method}_${tap}`;
}

/** One-hot rows → classes. */
function classesOf({ data, shape }: NdArray<'float32'>): Int32Array {
  const [count = 0, classes = 0] = shape;
  return Int32Array.from({ length: count }, (_, n) => data.subarray(n * classes, (n + 1) * classes).indexOf(1));
}

/** Throws a CodaError for the first image whose map is not. */
export function checkFinite({ data, shape }: NdArray<'float32'>, tap: string, { name }: Method): void {
  const bad = data.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return;
  throw new CodaError({
    kind: 'numeric',
    where: `attribute: image ${Math.floor(bad / sizeOf(shape.slice(1)))}, tap ${JSON.stringify(tap)}, method ${name}`,
    problem: 'the map is not finite',
    hint: 'Check the image and the weights for NaN and infinity.',
  });
}
