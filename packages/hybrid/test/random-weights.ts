/** Weights for tests: initial ones, with batch norm statistics as training would leave them. */
import * as tf from '@tensorflow/tfjs-core';
import { initWeights, Random, type NamedArrays, type NamedTensors, type Network } from '@coda-nets/core';
import { randomValues } from '@coda-nets/tools/testkit';

export function randomWeights(network: Pick<Network, 'weights'>, seed: number): NamedArrays {
  const weights = { ...initWeights(network, Random.seeded(seed)) };
  for (const [i, [name, array]] of Object.entries(weights).entries()) {
    const range = name.endsWith('running_var') ? { min: 0.5, max: 2 } : { min: -0.3, max: 0.3 };
    if (/running_|bn\d\.bias/.test(name)) {
      weights[name] = { ...array, data: randomValues(array.data.length, seed + i, range) } as typeof array;
    }
  }
  return weights;
}

export function tensorsOf(weights: NamedArrays): NamedTensors {
  return Object.fromEntries(Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]));
}
