/** Takes the weights of a hybrid's stem out of a trained ResNet. */
import { CodaError, sameShape, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { stemPrefix } from './hybrid.ts';

/**
 * `weights` with every `stem.<name>` replaced by `resnetWeights[<name>]`; what lies above the cut is left out. Throws one CodaError of kind
 * `mismatch` that lists all missing and mismatched names. `where` names the source: a file.
 */
export function withStemWeights(network: Network, weights: NamedArrays, resnetWeights: NamedArrays, where: string): NamedArrays {
  const result: Record<string, NdArray> = { ...weights };
  const problems: string[] = [];
  for (const [name, { shape }] of Object.entries(network.weights)) {
    if (!name.startsWith(stemPrefix)) continue;
    const source = name.slice(stemPrefix.length);
    const array = Object.hasOwn(resnetWeights, source) ? resnetWeights[source] : undefined;
    if (array === undefined) problems.push(`${source} is missing`);
    else if (array.dtype !== 'float32' || !sameShape(array.shape, shape)) {
      problems.push(`${source} is ${array.dtype} [${array.shape.join(', ')}] instead of float32 [${shape.join(', ')}]`);
    } else result[name] = array;
  }
  if (problems.length === 0) return result;
  throw new CodaError({
    kind: 'mismatch',
    where,
    problem: `not the weights of this hybrid's stem: ${problems.slice(0, 8).join('; ')}${problems.length > 8 ? `, and ${problems.length - 8} more` : ''}`,
  });
}
