import { ndArray, Random } from '@coda-nets/core';
import { attributionMethods, attributor, ownNetwork } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { layers, sequential } from '@tensorflow/tfjs-layers';

// where the model's weights live
await resolveEngine('cpu');

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
  logits: (images, tap) => {
    /** @type {any} */
    let x = images;
    for (const layer of model.layers) x = tap(layer.name, /** @type {any} */ (layer.apply(x)));
    return x;
  },
});

const { engine } = await resolveEngine();
const random = Random.seeded(1);
const pixels = Float32Array.from({ length: 2 * 16 * 16 * 3 }, () => random.uniform());
const images = ndArray('float32', [2, 16, 16, 3], pixels);
for (const method of [attributionMethods.inputXGradient(), attributionMethods.deepLift(), attributionMethods.occlusion({ window: 4 })]) {
  const explain = await attributor({ engine, network, weights: {}, method });
  const { taps } = await explain.attribute(images);
  for (const { name, maps } of taps) console.log(method.name, name, maps.shape);
  await explain.dispose();
}
