/** Looks at the outputs of a model's layers while it runs: the taps of `@coda-nets/core` in models of `tf.layers`, whatever their layers are. */
import { CodaError, type ForwardContext } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { layers } from '@tensorflow/tfjs-layers';
import { placeOf } from './layer-input.ts';

/**
 * Runs `fn`, which must be synchronous; in it, what each of `tapped` computes goes through `context.tap` under the layer's name. tf.layers has no
 * place to change an output, so each layer has its `call` covered until `fn` ends, however it ends.
 */
export function withTappedLayers<T>(tapped: readonly layers.Layer[], context: ForwardContext, fn: () => T): T {
  const covered = tapped.map((layer) => ({ layer, own: Object.getOwnPropertyDescriptor(layer, 'call') }));
  try {
    for (const layer of tapped) {
      const { call } = layer;
      layer.call = (inputs, kwargs) => {
        const output = call.call(layer, inputs, kwargs);
        if (output instanceof tf.Tensor) return context.tap(layer.name, output);
        throw new CodaError({
          kind: 'unsupported',
          where: placeOf(layer),
          problem: 'a layer with several outputs is no tap',
          expected: '1',
          got: `${output.length}`,
        });
      };
    }
    return fn();
  } finally {
    for (const { layer, own } of covered) {
      if (own === undefined) Reflect.deleteProperty(layer, 'call');
      else Object.defineProperty(layer, 'call', own);
    }
  }
}
