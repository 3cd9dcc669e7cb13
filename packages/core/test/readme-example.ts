import { Random, ndArray, nearestName, parseConfig } from '@coda-nets/core';
import { readModel, writeModel } from '@coda-nets/core/node';
import * as v from 'valibot';

// The same numbers everywhere; a stream of its own for each name.
const random = Random.seeded(7).split('fc.weight');
const weight = ndArray(
  'float32',
  [2, 3],
  Float32Array.from({ length: 6 }, () => random.normal()),
);

// A model is one safetensors file, config and preprocessing inside. Written beside, flushed, renamed.
export async function roundTrip(path: string): Promise<void> {
  await writeModel(path, {
    config: { kind: 'linear', classes: 2 },
    preprocessing: { size: [1, 1], layout: 'rgb', range: [0, 1] },
    classNames: ['cat', 'dog'],
    weights: { 'fc.weight': weight },
  });
  const { config, weights } = await readModel(path);
  console.log(config.kind, weights['fc.weight']?.shape); // linear [ 2, 3 ]
}

// Configs are checked to the leaf.
try {
  parseConfig(v.strictObject({ temperature: v.number() }), { temprature: 10 }, 'config.json');
} catch (error) {
  console.log(String(error));
  // CodaError: config.json: temprature: unknown key; expected one of temperature. Did you mean "temperature"?
}
console.log(nearestName('layer.2', ['layers.1', 'layers.2'])); // layers.2
