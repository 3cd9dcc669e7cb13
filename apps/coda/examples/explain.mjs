import { readModel } from '@coda-nets/core/node';
import { explainer } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { loadBatch, openDataset } from '@coda-nets/train';

const model = await readModel('apps/coda/models/hybrid-cifar10-resnet20-40.safetensors');
const network = hybrid(model.config);
const { engine } = await resolveEngine();
const test = (await openDataset('cifar10')).split('test');
const images = await loadBatch(test, [0, 1], { size: model.preprocessing.size });
const explain = await explainer({ engine, network, weights: model.weights });

// the top class; or a class for each image
for (const { target, probability, taps } of await explain.explain(images)) {
  console.log(model.classNames[target], probability);
  for (const { name, map, exact, residual } of taps) {
    console.log(name, map.shape, exact ? `exact, residual ${residual}` : 'gradient × activation');
  }
}
await explain.dispose();
