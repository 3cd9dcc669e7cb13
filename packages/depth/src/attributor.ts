/**
 * Attribution maps of one method at any taps, on host arrays. Formulas of activation and gradient take all taps from one forward and one backward
 * pass (`joint-attributor.ts`); other methods probe the network above each tap.
 */
import type { Engine, NamedArrays, NdArray, Network } from '@coda-nets/core';
import { checkFinite, jointAttributor } from './joint-attributor.ts';
import type { Method, ProbingMethod } from './methods/method.ts';
import { tapModel } from './tap-model.ts';

export interface AttributorOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly method: Method;
  /** Default: all of the network's. */
  readonly taps?: readonly string[];
  /** Images (or their changed copies) in one call of the engine; the result does not depend on it. Default: what `rowsWithin` allows. */
  readonly chunk?: number;
  /** [H, W] of the images; default the network's own. */
  readonly imageSize?: readonly [number, number];
  /** Ends the work between two calls of the engine, by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Of a method that probes: told after each call of the engine which share of one `attribute` is done, all taps together, up to 1. */
  readonly onShare?: ((share: number) => void) | undefined;
}

export interface TapMaps {
  readonly name: string;
  /** Whether each map sums to z − b₀ by construction: contributions at an exact tap alone. */
  readonly exact: boolean;
  /** [N, h, w], channels summed as the method says. */
  readonly maps: NdArray<'float32'>;
}

export interface Attribution {
  /** [N, C] */
  readonly logits: NdArray<'float32'>;
  /** [N, C]; with the logits, what `confidentGrids` chooses by. `taps: []` gives them from a forward pass alone. */
  readonly probabilities: NdArray<'float32'>;
  /** [N]: the class each map is about. */
  readonly targets: Int32Array;
  /** [N]: z − b₀ of the target. */
  readonly expected: Float32Array;
  /** From the input to the output, as the network has them. */
  readonly taps: readonly TapMaps[];
}

export interface Attributor {
  readonly method: Method;
  readonly taps: readonly string[];
  /**
   * images [N, H, W, 3]; targets: a class for each, −1 or `'top'` for the most probable one; or m for each, image by image, and the result
   * has N·m entries. Rejects for maps that are not finite.
   */
  attribute(images: NdArray<'float32'>, targets?: 'top' | readonly number[]): Promise<Attribution>;
  dispose(): Promise<void>;
}

/** Compiles an attributor; `dispose` it when done. */
export async function attributor(options: AttributorOptions): Promise<Attributor> {
  const { method, onShare } = options;
  const onePass = 'formula' in method;
  const passes = await jointAttributor({ ...options, methods: onePass ? [method] : [] });
  const models = onePass
    ? []
    : passes.taps.map((tap, i) => tapModel({ ...options, tap, onShare: (share) => onShare?.((i + share) / passes.taps.length) }));
  return {
    method,
    taps: passes.taps,
    attribute: async (images, targets) => {
      const { methods, ...rest } = await passes.attribute(images, targets);
      const taps: TapMaps[] = [...(methods[0] ?? [])];
      for (const model of models) {
        const maps = await (method as ProbingMethod).attribute(model, await model.activations(images), rest.targets);
        checkFinite(maps, model.tap, method);
        taps.push({ name: model.tap, exact: false, maps });
      }
      return { ...rest, taps };
    },
    dispose: async () => {
      await passes.dispose();
      for (const model of models) await model.dispose();
    },
  };
}
