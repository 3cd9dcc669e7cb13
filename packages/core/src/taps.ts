/**
 * Activations and gradients at any number of depths from one forward and one backward pass, without knowing a shape beforehand.
 *
 * Each requested tap becomes the identity t(x, z) = x with ∂t/∂z = 0 for one scalar z = 0 common to all, whose gradient function also stores
 * what arrives: dL/dx. Differentiating with respect to z makes the backward pass run down to the shallowest requested tap and no further.
 * Values are never read, so that the same code is traced to a graph.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError } from './errors.ts';
import type { ForwardContext } from './forward-context.ts';
import { nearestName } from './nearest-name.ts';
import './tfjs.ts';

export interface TapGradients {
  readonly objective: tf.Scalar;
  /** By tap: what the network passes on there. */
  readonly activations: Readonly<Record<string, tf.Tensor>>;
  /** By tap: d objective / d activation, of the same shape. */
  readonly gradients: Readonly<Record<string, tf.Tensor>>;
  /** What `forward` returned beside the objective. */
  readonly extra: Readonly<Record<string, tf.Tensor>>;
}

/** `objective` is what is differentiated, a scalar; other tensors (logits) are handed on. */
export type Objective = tf.Tensor | ({ readonly objective: tf.Tensor } & Readonly<Record<string, tf.Tensor>>);

/**
 * Runs `forward` once with a context that looks at `tapNames`, differentiates its objective once.
 * All tensors of the result belong to the caller (or to the `tf.tidy` around the call).
 * Throws a CodaError for a tap that the forward pass does not reach, reaches twice, or on which the objective does not depend.
 */
export function gradientsAtTaps(forward: (context: ForwardContext) => Objective, tapNames: readonly string[]): TapGradients {
  const requested = new Set(tapNames);
  const reached = new Set<string>();
  // Kept, because the tapes and tidies of tfjs would dispose of them; the finally below lets all go.
  const activations = new Map<string, tf.Tensor>();
  const gradients = new Map<string, tf.Tensor>();
  const extra = new Map<string, tf.Tensor>();
  const keep = (into: Map<string, tf.Tensor>, name: string, x: tf.Tensor): void => {
    into.set(name, tf.keep(tf.clone(x)));
  };
  try {
    return tf.tidy(() => {
      const root = tf.scalar(0);
      const context: ForwardContext = {
        training: false,
        tap: (name, x) => {
          if (reached.has(name)) throw tapError(name, 'the forward pass reaches the tap twice');
          reached.add(name);
          if (!requested.has(name)) return x;
          const op = tf.customGrad((...[value, zero]) => ({
            value: tf.clone(value as tf.Tensor),
            gradFunc: (dy: tf.Tensor) => {
              keep(gradients, name, dy);
              return [dy, tf.zerosLike(zero as tf.Tensor)];
            },
          }));
          const y = op(x, root) as typeof x;
          keep(activations, name, y);
          return y;
        },
      };
      let failure: { readonly error: unknown } | undefined;
      const guarded = (): tf.Tensor => {
        // tfjs lets go of what its tape has saved only where the function it differentiates returns.
        try {
          return run();
        } catch (error) {
          failure = { error };
          return root;
        }
      };
      const run = (): tf.Tensor => {
        const result = forward(context);
        const objective = result instanceof tf.Tensor ? result : result.objective;
        if (!(result instanceof tf.Tensor)) {
          for (const [name, x] of Object.entries(result)) if (name !== 'objective') keep(extra, name, x);
        }
        for (const name of requested) if (!reached.has(name)) throw unknownTap(name, reached);
        return objective;
      };
      // The last argument lets an objective without any path to a tap through, which the check below names better.
      const objective = requested.size === 0 ? run() : tf.engine().gradients(guarded, [root], undefined as never, true).value;
      if (failure !== undefined) throw failure.error;
      if (objective.size !== 1) {
        throw new CodaError({
          kind: 'argument',
          where: 'gradientsAtTaps: forward',
          problem: 'the objective is not a scalar',
          got: `shape [${objective.shape.join(', ')}]`,
        });
      }
      for (const name of requested) {
        if (!gradients.has(name)) throw tapError(name, 'the objective does not depend on the tap');
      }
      return {
        objective: objective as tf.Scalar,
        activations: cloned(activations, tapNames),
        gradients: cloned(gradients, tapNames),
        extra: cloned(extra, extra.keys()),
      };
    });
  } finally {
    for (const map of [activations, gradients, extra]) for (const x of map.values()) x.dispose();
  }
}

/** Clones belong to the tidy they are made in, which kept tensors do not. */
function cloned(tensors: ReadonlyMap<string, tf.Tensor>, names: Iterable<string>): Record<string, tf.Tensor> {
  return Object.fromEntries(Array.from(names, (name) => [name, tf.clone(tensors.get(name) as tf.Tensor)]));
}

function unknownTap(name: string, reached: ReadonlySet<string>): CodaError {
  const near = nearestName(name, reached);
  return new CodaError({
    kind: 'argument',
    where: `gradientsAtTaps: tap ${JSON.stringify(name)}`,
    problem: 'the forward pass has no such tap',
    expected: reached.size === 0 ? undefined : `one of ${[...reached].join(', ')}`,
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}

function tapError(name: string, problem: string): CodaError {
  return new CodaError({ kind: 'argument', where: `gradientsAtTaps: tap ${JSON.stringify(name)}`, problem });
}
