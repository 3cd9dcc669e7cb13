/** The sanity check by model randomisation: a map that explains the network must change when its weights do (Adebayo et al., arXiv 1810.03292). */
import { Random, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { rankCorrelation } from './rank-correlation.ts';
import { summaryOf, type Summary } from './summary.ts';

export interface RandomisationCheckOptions {
  readonly network: Pick<Network, 'weights'>;
  readonly weights: NamedArrays;
  /** The maps [N, h, w] of the same images, classes and tap for any weights: an attributor made, asked and disposed of. */
  maps(weights: NamedArrays): Promise<NdArray<'float32'>>;
  /** Which weights are drawn anew at each stage, those of earlier stages included. Default: one stage, all parameters. */
  readonly stages?: readonly (readonly string[])[];
  /** Default 0. */
  readonly seed?: number;
}

/** JSON-able. */
export type RandomisationStage = {
  /** The weights drawn anew so far. */
  readonly randomised: readonly string[];
  /** By image: ρ between the magnitudes of the maps before and after; 0 where one of the maps is constant. */
  readonly similarity: Summary;
};

/**
 * Spearman's ρ of |A(p)| between the maps of the trained weights and of weights drawn from the network's own initialisation.
 *
 * Unit: none. Range [−1, 1]; near 0 is better: a map that stays the same does not explain what the network learned. Running statistics keep
 * their values. Assumes that the initialisation gives logits that differ; guided backpropagation is known to stay similar.
 */
export async function randomisationCheck(options: RandomisationCheckOptions): Promise<readonly RandomisationStage[]> {
  const { network, weights, maps, seed = 0 } = options;
  const { stages = [parametersOf(network)] } = options;
  const before = await maps(weights);
  const count = before.shape[0] ?? 0;
  const size = before.data.length / Math.max(1, count);
  const magnitudes = (array: NdArray<'float32'>, n: number): Float32Array => array.data.subarray(n * size, (n + 1) * size).map(Math.abs);
  const results: RandomisationStage[] = [];
  const drawn = new Set<string>();
  for (const stage of stages) {
    for (const name of stage) drawn.add(name);
    const randomised = [...drawn];
    const after = await maps(randomisedWeights(network, weights, randomised, Random.seeded(seed)));
    const values = Array.from({ length: count }, (_, n) => {
      const rho = rankCorrelation(magnitudes(before, n), magnitudes(after, n));
      return Number.isNaN(rho) ? 0 : rho;
    });
    results.push({ randomised, similarity: summaryOf(values) });
  }
  return results;
}

/** Stages from the output to the input, a layer each: weights whose names agree up to the last dot go together. */
export function cascade(network: Pick<Network, 'weights'>): readonly (readonly string[])[] {
  const layers = new Map<string, string[]>();
  for (const name of parametersOf(network)) {
    const layer = name.slice(0, Math.max(0, name.lastIndexOf('.'))) || name;
    layers.set(layer, [...(layers.get(layer) ?? []), name]);
  }
  return [...layers.values()].toReversed();
}

/** `weights`, those of `names` drawn from the network's initialisation; each name has a stream of its own. */
function randomisedWeights(network: Pick<Network, 'weights'>, weights: NamedArrays, names: readonly string[], random: Random): NamedArrays {
  const anew = names.map((name) => [name, network.weights[name]?.init(random.split(name)) ?? weights[name]] as const);
  return { ...weights, ...Object.fromEntries(anew) } as NamedArrays;
}

function parametersOf({ weights }: Pick<Network, 'weights'>): readonly string[] {
  return Object.keys(weights).filter((name) => weights[name]?.role !== 'statistic' && !isNormStatistic(name));
}

/** A frozen stem calls its running statistics frozen too. */
function isNormStatistic(name: string): boolean {
  return /\.running_(mean|var)$/.test(name);
}
