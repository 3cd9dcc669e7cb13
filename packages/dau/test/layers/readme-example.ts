import * as tf from '@tensorflow/tfjs-core';
import { sequential } from '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import { contributions, dauConv2d, rgb6, sumPoolLogits } from '@coda-nets/dau/layers';

const model = sequential({
  layers: [
    rgb6({ inputShape: [8, 8, 3] }),
    dauConv2d({ filters: 6, kernelSize: 3, strides: 2, padding: 'same', rank: 4, name: 'first' }),
    dauConv2d({ filters: 2, kernelSize: 1, rank: 4, name: 'second' }),
    sumPoolLogits({ temperature: 4 }),
  ],
});
model.summary();

// Reddish noise is class 0, bluish noise class 1.
const isBlue = tf.mod(tf.range(0, 32), 2); // 0, 1, 0, 1, …
const labels = tf.oneHot(tf.cast(isBlue, 'int32'), 2);
const half = tf.mul(isBlue, 0.5);
const tint = tf.stack([tf.sub(1, half), tf.fill([32], 0.5), tf.add(half, 0.5)], 1); // [32, 3]
const images = tf.mul(tf.randomUniform([32, 8, 8, 3], 0, 1, 'float32', 1), tf.reshape(tint, [32, 1, 1, 3]));

model.compile({ optimizer: tf.train.adam(0.02), loss: tf.losses.sigmoidCrossEntropy, metrics: ['accuracy'] });
export const { history } = await model.fit(images, labels, { epochs: 8, batchSize: 8, shuffle: false });

// Where does it see blue? One forward and one backward pass explain class 1 at every layer.
export const explanation = contributions(model, images, { target: 1 });
for (const [name, { map, exact, residual }] of Object.entries(explanation.taps)) {
  console.log(name, map.shape, exact, tf.max(residual).dataSync()[0]); // first [ 32, 4, 4 ] true, and about 1e-7
}
