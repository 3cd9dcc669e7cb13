/** Whether named arrays are the weights of a network, and the first weights of a new one. */
import { checkObject } from './check-argument.ts';
import { CodaError } from './errors.ts';
import { listedNames } from './listed-names.ts';
import { nearestName } from './nearest-name.ts';
import { sameShape, sizeOf, type NamedArrays, type NdArray } from './nd-array.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';

/** 4 GB of float32, what a model file may hold; a training has three times as many beside its activations. */
const maxWeights = 1e9;

/**
 * Throws one CodaError of kind `mismatch` that lists missing, unexpected and mismatched (shape or dtype) names together.
 * `where` names the source of the weights: a file.
 */
export function checkWeights(network: Pick<Network, 'weights'>, weights: NamedArrays, where: string): void {
  checkObject(where, weights, 'arrays by name');
  const missing: string[] = [];
  const wrong: string[] = [];
  for (const [name, { shape }] of Object.entries(network.weights)) {
    const array = Object.hasOwn(weights, name) ? weights[name] : undefined;
    if (array === undefined) missing.push(name);
    else if (array.dtype !== 'float32' || !sameShape(array.shape, shape)) {
      wrong.push(`${name} (expected float32 [${shape.join(', ')}], got ${array.dtype} [${array.shape.join(', ')}])`);
    }
  }
  const unexpected = Object.keys(weights).filter((name) => !Object.hasOwn(network.weights, name));
  const parts = [listed('missing', missing), listed('unexpected', unexpected), listed('mismatched', wrong)];
  const problem = parts.filter((part) => part !== '').join('; ');
  if (problem === '') return;
  const near = unexpected.length === 1 ? nearestName(unexpected[0] as string, missing) : undefined;
  throw new CodaError({
    kind: 'mismatch',
    where,
    problem: `the weights are not this network's: ${problem}`,
    hint: near === undefined ? undefined : `${JSON.stringify(unexpected[0])} may be meant for ${JSON.stringify(near)}.`,
  });
}

/** The weights of a new network; each has its own random stream, split by its name, so that no weight depends on another's size. Throws a CodaError for a network of more than 10⁹ weights before any is drawn. */
export function initWeights(network: Pick<Network, 'weights'>, random: Random): NamedArrays {
  const count = Object.values(network.weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  if (count > maxWeights) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'initWeights',
      problem: 'the network has too many weights',
      expected: `at most ${maxWeights.toLocaleString('en')}`,
      got: count.toLocaleString('en'),
    });
  }
  const weights: Record<string, NdArray> = {};
  for (const [name, spec] of Object.entries(network.weights)) weights[name] = spec.init(random.split(name));
  return weights;
}

function listed(word: string, names: readonly string[]): string {
  return names.length === 0 ? '' : `${word} ${listedNames(names)}`;
}
