import { readModel } from '@coda-nets/core/node';
import { explainer } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { loadImages } from '@coda-nets/train';

const model = await readModel('runs/demo/hybrid.safetensors');
const network = hybrid(model.config);
const { engine } = await resolveEngine();
const { images } = await loadImages(['runs/demo/images/00-cat.png'], { size: model.preprocessing.size });
const explain = await explainer({ engine, network, weights: model.weights });

// the top class; or a class for each image
for (const { target, probability, taps } of await explain.explain(images)) {
  console.log(model.classNames[target], probability);
  for (const { name, map, exact, residual } of taps) {
    console.log(name, map.shape, exact ? `exact, residual ${residual}` : 'gradient × activation');
  }
}
await explain.dispose();
