import { ndArray } from '@coda-nets/core';
import { attributionMethods, attributor, ownNetwork } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';

// a model of your own; one loaded from a file will do as well
const model = sequential();
model.add(layers.conv2d({ name: 'edges', inputShape: [16, 16, 3], filters: 8, kernelSize: 3, padding: 'same', activation: 'relu' }));
model.add(layers.maxPooling2d({ name: 'pool', poolSize: 2 }));
model.add(layers.conv2d({ name: 'parts', filters: 8, kernelSize: 3, padding: 'same', activation: 'relu' }));
model.add(layers.globalAveragePooling2d({}));
model.add(layers.dense({ units: 4 }));

// every layer a tap
const network = ownNetwork({
  inputShape: [16, 16, 3],
  logits: (images, tap) => model.layers.reduce((x, layer) => tap(layer.name, layer.apply(x)), images),
});

const { engine } = await resolveEngine();
const images = ndArray('float32', [2, 16, 16, 3], (await tf.randomUniform([2, 16, 16, 3], 0, 1, 'float32', 1).data()).slice());
for (const method of [attributionMethods.inputXGradient(), attributionMethods.deepLift(), attributionMethods.occlusion({ window: 4 })]) {
  const explain = await attributor({ engine, network, weights: {}, method });
  const { taps } = await explain.attribute(images);
  for (const { name, maps } of taps) console.log(method.name, name, maps.shape);
  await explain.dispose();
}
