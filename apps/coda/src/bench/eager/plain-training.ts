/** A training step as one writes it with TensorFlow.js alone: variables, `tf.variableGrads`, `tf.train`. Not how `@coda-nets/train` does it. */
import { ndArray, type NamedArrays, type NamedTensors } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

/** images [N, H, W, 3] → logits [N, classes]; tells the new running statistics by name. */
export type PlainForward = (
  weights: NamedTensors,
  images: tf.Tensor4D,
  setStatistic: (name: string, value: tf.Tensor) => void,
) => tf.Tensor2D;

export interface PlainTraining {
  readonly forward: PlainForward;
  readonly loss: 'softmax' | 'sigmoid';
  readonly optimiser: 'nesterov' | 'adam';
  readonly learningRate: number;
  readonly weights: NamedArrays;
  /** Names of the weights that are running statistics. */
  readonly statistics: readonly string[];
  readonly images: NamedArrays[string];
  readonly labels: Int32Array;
  readonly classes: number;
}

export interface PlainStep {
  /** One step; `gradients` after it, where they are asked for. */
  run(wanted?: 'gradients'): Promise<NamedArrays>;
  dispose(): void;
}

/** `loss`, and `gradient/<weight>` and `statistic/<weight>` where they are wanted. */
export function plainTraining({
  forward,
  loss,
  optimiser,
  learningRate,
  weights,
  statistics,
  images,
  labels,
  classes,
}: PlainTraining): PlainStep {
  const placed = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => {
      const value = tf.tensor(data as Float32Array, [...shape]);
      // oxlint-disable-next-line no-restricted-properties -- what is measured is how TensorFlow.js is used without these packages
      return [name, tf.variable(value, !statistics.includes(name))] as const;
    }),
  );
  const trained = Object.entries(placed).filter(([name]) => !statistics.includes(name));
  const step = optimiser === 'adam' ? tf.train.adam(learningRate) : tf.train.momentum(learningRate, 0.9, true);
  return {
    run: async (wanted) => {
      const results: Record<string, tf.Tensor> = {};
      tf.tidy(() => {
        const x = tf.tensor4d(images.data as Float32Array, images.shape as [number, number, number, number]);
        const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), classes, 1, 0, 'float32');
        const fresh: Record<string, tf.Tensor> = {};
        const { value, grads } = tf.variableGrads(
          () => {
            const logits = forward(placed, x, (name, statistic) => (fresh[name] = tf.keep(statistic)));
            return (
              loss === 'softmax' ? tf.losses.softmaxCrossEntropy(targets, logits) : tf.losses.sigmoidCrossEntropy(targets, logits)
            ) as tf.Scalar;
          },
          trained.map(([, variable]) => variable),
        );
        step.applyGradients(grads as Parameters<typeof step.applyGradients>[0]);
        for (const [name, statistic] of Object.entries(fresh)) {
          placed[name]?.assign(statistic);
          statistic.dispose();
        }
        results['loss'] = tf.keep(value);
        if (wanted === undefined) return;
        for (const [name, variable] of trained) results[`gradient/${name}`] = tf.keep(tf.clone(grads[variable.name] as tf.Tensor));
        for (const name of statistics) results[`statistic/${name}`] = tf.keep(tf.clone(placed[name] as tf.Tensor));
      });
      const arrays = Object.entries(results).map(async ([name, tensor]) => {
        const data = (await tensor.data()) as Float32Array;
        tensor.dispose();
        return [name, ndArray('float32', tensor.shape, data.slice())] as const;
      });
      return Object.fromEntries(await Promise.all(arrays));
    },
    dispose: () => {
      tf.dispose(placed);
      step.dispose();
    },
  };
}
