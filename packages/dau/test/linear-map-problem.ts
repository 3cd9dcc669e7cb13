/** CoDA networks small enough for full matrices, at two images, beside their slow twins. */
import * as tf from '@tensorflow/tfjs-core';
import { initWeights, Random, type Network } from '@coda-nets/core';
import { randomTensor } from '@coda-nets/tools/testkit';
import { codaNetwork, defaultDauEpsilon, edauBounds, type CodaConfig, type CodaNorm, type EdauBound } from '../src/index.ts';
import { slowNetwork, type SlowMaps } from './slow-linear-map.ts';

export const configs: Record<string, CodaConfig> = {
  'sq, rgb6': {
    kind: 'coda',
    inputShape: [5, 4, 3],
    layers: [
      { out: 3, kernel: 2, stride: 2, rank: 2 },
      { out: 3, kernel: 2, padding: 0, rank: 3 },
    ],
    temperature: 10,
    classes: 3,
  },
  'l2, plain rgb, three layers': {
    kind: 'coda',
    inputShape: [6, 5, 3],
    encoding: 'none',
    layers: [
      { out: 2, kernel: 2, padding: 0, rank: 2 },
      { out: 4, kernel: 3, stride: 2, rank: 3 },
      { out: 2, kernel: 1, rank: 2 },
    ],
    norm: 'l2',
    temperature: 4,
    logitBias: 0.25,
    classes: 2,
  },
  'frobenius, rgb6': {
    kind: 'coda',
    inputShape: [5, 4, 3],
    layers: [
      { out: 3, kernel: 2, stride: 2, rank: 2 },
      { out: 2, kernel: 3, rank: 3 },
    ],
    norm: 'frobenius',
    temperature: 3,
    classes: 2,
  },
};

const isBound = (norm: CodaNorm): norm is EdauBound => edauBounds.some((bound) => bound === norm);

/** In a problem. */
export const images = 2;

/** The network's slow twin at image `i`; `weights` are flat arrays by name. */
export function slowMaps(
  { config }: { config: object },
  weights: Record<string, ArrayLike<number>>,
  pixels: ArrayLike<number>,
  i: number,
): SlowMaps {
  const { inputShape, encoding = 'rgb6', layers, norm = 'sq', temperature } = config as CodaConfig & { readonly norm?: CodaNorm };
  const [height, width] = inputShape;
  const size = height * width * 3;
  const rgb = Array.from({ length: size }, (_, j) => pixels[i * size + j] as number);
  const six = Array.from({ length: height * width }, (_, p) => [0, 1, 2].map((c) => rgb[p * 3 + c] as number)).flatMap((pixel) => [
    ...pixel,
    ...pixel.map((v) => 1 - v),
  ]);
  return slowNetwork({
    x: Float64Array.from(encoding === 'rgb6' ? six : rgb),
    shape: [height, width, encoding === 'rgb6' ? 6 : 3],
    layers: layers.map(({ out, kernel, stride = 1, padding = Math.floor(kernel / 2), rank }, l) => {
      const of = (name: string): Float64Array => Float64Array.from(weights[`layers.${l}.${name}`] as ArrayLike<number>);
      const all = { A: of('A'), B: of('B'), k: kernel, n: out, r: rank, stride, padding, eps: defaultDauEpsilon };
      return isBound(norm) ? { ...all, bound: norm } : { ...all, b: of('b'), norm };
    }),
    temperature,
  });
}

export interface Problem {
  readonly network: Network;
  readonly weights: Record<string, tf.Tensor>;
  readonly x: tf.Tensor4D;
  readonly slow: readonly SlowMaps[];
}

export function problem(config: CodaConfig): Problem {
  const network = codaNetwork(config);
  const arrays = initWeights(network, Random.seeded(7));
  const weights = Object.fromEntries(
    Object.entries(arrays).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
  );
  const x = randomTensor<tf.Rank.R4>([images, ...network.inputShape], 5, { min: 0 });
  const flat = Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, data as Float32Array]));
  return { network, weights, x, slow: [0, 1].map((i) => slowMaps(network, flat, x.dataSync(), i)) };
}
