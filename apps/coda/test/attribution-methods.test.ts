/** Attribution methods on the real networks: the same on any engine, and the sanity check that tells guided backpropagation from the rest. */
import { beforeAll, describe, expect, test } from 'vitest';
import { initWeights, ndArray, Random, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { attributionMethods as methods, attributor, randomisationCheck, separateCells, type Method } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { resnet } from '@coda-nets/resnet';
import { expectClose, randomValues } from '@coda-nets/tools/testkit';

/** What the project promises of any two engines. */
const ENGINES = { rtol: 1e-4, relativeTo: 'largest' } as const;

const SIDE = 8;
const backbone = { kind: 'resnet', depth: 8, width: 4, inputShape: [SIDE, SIDE, 3], classes: 4 } as const;
const networks: Readonly<Record<string, Network>> = {
  resnet: resnet(backbone),
  hybrid: hybrid({
    kind: 'hybrid',
    backbone,
    cut: 'layer2.0',
    classes: 4,
    head: { temperature: 4, layers: [{ out: 4, kernel: 1, rank: 3 }] },
  }),
};

let compiled: Engine;
let eager: Engine;
beforeAll(async () => {
  compiled = (await resolveEngine('onnxruntime', { threads: 1 })).engine;
  eager = (await resolveEngine('cpu')).engine;
});

const images = (count: number, side = SIDE): NdArray<'float32'> =>
  ndArray('float32', [count, side, side, 3], randomValues(count * side * side * 3, 5, { min: 0, max: 1 }));

async function mapsOf(
  engine: Engine,
  network: Network,
  weights: NamedArrays,
  method: Method,
  tap: string,
  count = 2,
): Promise<Float32Array> {
  const { attribute, dispose } = await attributor({
    engine,
    network,
    weights,
    method,
    taps: [tap],
    chunk: 5,
    imageSize: [network.inputShape[0], network.inputShape[1]],
  });
  const { taps } = await attribute(
    images(count, network.inputShape[0]),
    Array.from({ length: count }, (_, i) => i % 4),
  );
  await dispose();
  return taps[0]?.maps.data as Float32Array;
}

describe('compiled equals eager', () => {
  const all: readonly Method[] = [
    methods.contributions(),
    methods.gradient(),
    methods.guidedBackprop(),
    methods.gradCam(),
    methods.gradCamPlusPlus(),
    methods.layerCam(),
    methods.deepLift(),
    methods.intGrad({ steps: 2 }),
    methods.smoothGrad({ samples: 2 }),
    methods.occlusion({ window: 4, stride: 4 }),
    methods.rise({ masks: 3, cells: 2 }),
    methods.lime({ samples: 5, segments: 2 }),
  ];
  test.each(Object.keys(networks).flatMap((kind) => all.map((method) => [kind, method.name, method] as const)))(
    '%s, %s',
    async (kind, _, method) => {
      const network = networks[kind] as Network;
      const weights = initWeights(network, Random.seeded(1));
      expectClose(
        await mapsOf(compiled, network, weights, method, 'layer1.0'),
        await mapsOf(eager, network, weights, method, 'layer1.0'),
        ENGINES,
      );
    },
  );

  test('cells that run alone', async () => {
    const network = separateCells(networks['hybrid'] as Network, 2);
    const weights = initWeights(network, Random.seeded(1));
    const [a, b] = [
      await mapsOf(compiled, network, weights, methods.contributions(), 'input', 1),
      await mapsOf(eager, network, weights, methods.contributions(), 'input', 1),
    ];
    expectClose(a, b, ENGINES);
    // Class 0 of cell 0: nothing outside of its quarter.
    for (const [p, x] of a.entries()) if (p >= 2 * SIDE * SIDE || p % (2 * SIDE) >= SIDE) expect(x).toBe(0);
  });
});

describe('occlusion above the cut', () => {
  // strides and odd windows above it, so that parts must begin where places of the last map do
  const network = hybrid({
    kind: 'hybrid',
    backbone: { ...backbone, inputShape: [48, 48, 3] },
    cut: 'layer2.0',
    classes: 4,
    head: {
      temperature: 4,
      layers: [
        { out: 8, kernel: 3, stride: 2, rank: 3 },
        { out: 8, kernel: 3, rank: 2 },
        { out: 4, kernel: 1, rank: 3 },
      ],
    },
  });
  const weights = initWeights(network, Random.seeded(3));
  const { dynamicLinear: _, ...whole } = network;

  test('reaches as far as the layers read', () => {
    expect(network.dynamicLinear?.localityAt('layer2.0')).toEqual({ stride: 2, reach: 3 });
    expect(network.dynamicLinear?.localityAt('head.0')).toEqual({ stride: 1, reach: 1 });
    expect(network.dynamicLinear?.localityAt('head.2')).toEqual({ stride: 1, reach: 0 });
  });

  test.each([
    ['layer2.0', { window: 4, stride: 2 }],
    ['layer2.0', { window: 3, stride: 5 }],
    ['head.0', { window: 2, stride: 3 }],
  ] as const)('%s, %o: parts give what whole maps give', async (tap, options) => {
    const method = methods.occlusion(options);
    expectClose(await mapsOf(compiled, network, weights, method, tap), await mapsOf(compiled, whole, weights, method, tap), ENGINES);
  });
});

test('guided backpropagation hardly changes when the upper layers forget what they learned; the gradient does', async () => {
  const network = networks['resnet'] as Network;
  const weights = initWeights(network, Random.seeded(1));
  const above = Object.keys(network.weights).filter((name) => name.startsWith('layer3') || name.startsWith('fc'));
  const similarity = async (method: Method): Promise<number> => {
    const maps = async (given: NamedArrays): Promise<NdArray<'float32'>> =>
      ndArray('float32', [4, SIDE, SIDE], await mapsOf(compiled, network, given, method, 'input', 4));
    const [stage] = await randomisationCheck({
      network,
      weights,
      maps,
      stages: [above.filter((name) => !name.includes('running'))],
      seed: 9,
    });
    return stage?.similarity.mean as number;
  };
  // 0.76 and 0.26 with these seeds.
  const [guided, plain] = [await similarity(methods.guidedBackprop()), await similarity(methods.gradient())];
  expect(plain).toBeLessThan(0.4);
  expect(guided).toBeGreaterThan(plain + 0.3);
});
