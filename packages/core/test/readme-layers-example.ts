import * as tf from '@tensorflow/tfjs-core';
import { sequential } from '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import { zerosArray, type Network } from '@coda-nets/core';
import { networkLayer, registerNetwork } from '@coda-nets/core/layers';

/** Any network does: here the mean colour times a matrix. */
const colours = (): Network => ({
  config: { kind: 'colours' },
  inputShape: [4, 4, 3],
  classes: 2,
  taps: [],
  weights: { matrix: { shape: [3, 2], role: 'parameter', decay: true, init: () => zerosArray('float32', [3, 2]) } },
  logitBias: 0,
  forward: ({ matrix }, images) => {
    const logits = tf.matMul(tf.mean(images, [1, 2]) as tf.Tensor2D, matrix as tf.Tensor2D) as tf.Tensor2D;
    return { logits, statistics: {} };
  },
  loss: (logits, targets) => tf.losses.sigmoidCrossEntropy(targets, logits),
  probabilities: (logits) => tf.sigmoid(logits),
});

const network = colours();
const layer = networkLayer(network); // { seed } or { initial: weights of a model file }
const model = sequential({ layers: [layer] });
const loss = (targets: tf.Tensor, logits: tf.Tensor) => network.loss(logits as tf.Tensor2D, targets as tf.Tensor2D);
model.compile({ optimizer: tf.train.adam(0.1), loss, metrics: ['accuracy'] });

const red = tf.mul(tf.ones([8, 4, 4, 3]), tf.tensor1d([1, 0.2, 0.2]));
const blue = tf.mul(tf.ones([8, 4, 4, 3]), tf.tensor1d([0.2, 0.2, 1]));
const targets = tf.oneHot(tf.concat([tf.zeros([8], 'int32'), tf.ones([8], 'int32')]), 2);
export const { history } = await model.fit(tf.concat([red, blue]), targets, { epochs: 5 });

export const weights = await layer.weightArrays(); // by the network's names, for `writeModel`
registerNetwork('colours', colours); // once, before tf.loadLayersModel of what model.save has written
