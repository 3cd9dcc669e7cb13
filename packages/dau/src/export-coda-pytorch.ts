/** Weights of `codaNetwork` as a state dict of the authors' PyTorch networks: the inverse of `importCodaPytorch`. */
import { checkWeights, ndArray, type NamedArrays, type NdArray } from '@coda-nets/core';
import type { CodaConfig } from './coda-config.ts';
import { codaNetwork } from './coda-network.ts';
import { channelsFirst, codaPytorchName, layerShapes, transposed } from './coda-pytorch-layout.ts';

/** Layer l becomes module l of the `nn.Sequential`. Throws one CodaError that lists every weight that is not the config's. */
export function exportCodaPytorch(weights: NamedArrays, config: CodaConfig): NamedArrays {
  const network = codaNetwork(config);
  checkWeights(network, weights, 'exportCodaPytorch: weights');
  const dataOf = (name: string): Float32Array => (weights[name] as NdArray<'float32'>).data;
  const tensors: Record<string, NdArray<'float32'>> = {};
  for (const [l, { k, C, n, r, theirs }] of layerShapes('exportCodaPytorch', network).entries()) {
    const B = transposed(channelsFirst(dataOf(`layers.${l}.B`), C, k, r), C * k * k, r);
    const A = channelsFirst(dataOf(`layers.${l}.A`), C, k, n * r);
    const b = channelsFirst(dataOf(`layers.${l}.b`), C, k, n);
    tensors[codaPytorchName('', l, 'B')] = ndArray('float32', theirs.B, B);
    tensors[codaPytorchName('', l, 'A')] = ndArray('float32', theirs.A, A);
    tensors[codaPytorchName('', l, 'b')] = ndArray('float32', theirs.b, b);
  }
  return tensors;
}
