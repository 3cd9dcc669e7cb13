/** What a training's config is refused for beside its schema: each leaf with a value of every wrong type, and numbers that are none of float32. */
import { describe, expect, it } from 'vitest';
import { parseTrainConfig, trainConfigSchema } from '../src/index.ts';

const base = { network: { kind: 'resnet' }, epochs: 1, learningRate: 0.1 };

describe('numbers beyond float32', () => {
  it.each<[object, string]>([
    [{ weightDecay: 1e300 }, 'weightDecay'],
    [{ learningRate: 1e39 }, 'learningRate'],
    [{ learningRate: 1e-300 }, 'learningRate'],
    [{ groups: [{ names: '*', rate: 1e300 }] }, 'groups[0].rate'],
    [{ clip: { kind: 'norm', max: 1e300 } }, 'clip.max'],
    [{ optimiser: { kind: 'adam', epsilon: 1e-300 } }, 'optimiser.epsilon'],
    [{ linearMapPenalty: { weight: 1e300, classes: 1 } }, 'linearMapPenalty.weight'],
    [{ augmentation: { kind: 'recipe', mixup: 1e300 } }, 'augmentation.mixup'],
    [{ divergence: { factor: 1e300 } }, 'divergence.factor'],
  ])('%j is refused', (change, leaf) => {
    const text = `run.json: ${leaf}: beyond the numbers of float32, in which is computed; expected 0, or 1.18e-38 to 3.40e+38, got `;
    expect(() => parseTrainConfig({ ...base, ...change }, 'run.json')).toThrow(text);
  });

  it('are none at the ends of its range, nor in a network, which has its own limits', () => {
    const config = { ...base, learningRate: 3.4e38, weightDecay: 2 ** -126, network: { kind: 'resnet', x: 1e300 } };
    expect(parseTrainConfig(config)).toMatchObject(config);
  });
});

it('Nesterov without a momentum is refused', () => {
  const sgd = (momentum: number): object => ({ ...base, optimiser: { kind: 'sgd', momentum, nesterov: true } });
  expect(() => parseTrainConfig(sgd(0), 'run.json')).toThrow(
    'run.json: optimiser.nesterov: Nesterov needs a momentum; expected optimiser.momentum > 0, got momentum 0',
  );
  expect(parseTrainConfig(sgd(0.5))).toMatchObject({ optimiser: { nesterov: true } });
});

it('all that is wrong is told of at once: of the schema, beyond float32, and what does not fit together', () => {
  const wrong = {
    ...base,
    epochs: 0,
    epoch: 1,
    learningRate: 1e39,
    optimiser: { kind: 'sgd', momentum: 0, nesterov: true },
    ema: [],
    network: { kind: 'resnet', x: 1e300 },
  };
  const known = Object.keys(trainConfigSchema.entries).join(', ');
  expect((caught(() => parseTrainConfig(wrong, 'run.json')) as Error).message).toBe(`run.json: 5 mistakes
  epoch: unknown key; expected one of ${known}. Did you mean "epochs"?
  epochs: invalid value; expected >=1, got 0
  ema: not a valid value; expected an object, got an array
  learningRate: beyond the numbers of float32, in which is computed; expected 0, or 1.18e-38 to 3.40e+38, got 1e+39
  optimiser.nesterov: Nesterov needs a momentum; expected optimiser.momentum > 0, got momentum 0`);
});

/** Every key, with a value that it takes. */
const whole = {
  ...base,
  data: 'cifar10',
  batch: 8,
  scaleLearningRate: 'none',
  optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.9, epsilon: 1e-8, decay: 'coupled' },
  schedule: { kind: 'one-cycle', peak: 0.1, start: 0.1, end: 0.1, warmup: 1 },
  weightDecay: 0.1,
  clip: { kind: 'adaptive', factor: 0.1, epsilon: 0.1, except: ['fc.*'] },
  groups: [{ names: '*', rate: 0.5 }],
  accumulate: 1,
  ema: { decay: 0.9 },
  stochasticDepth: 0.1,
  augmentation: {
    kind: 'recipe',
    crop: { kind: 'random-resized', scale: [0.1, 1], ratio: [1, 2] },
    flip: true,
    policy: { kind: 'rand-augment', operations: 1, magnitude: 3 },
    erase: { probability: 0.1, area: [0.1, 0.2], ratio: [1, 2], fill: 'black' },
    mixup: 0.1,
    cutmix: 0.1,
    labelSmoothing: 0.1,
  },
  resize: 40,
  classes: ['a', 'b'],
  maxBad: 1,
  linearMapPenalty: { weight: 0.1, classes: 2 },
  validation: { kind: 'test', limit: 5 },
  bestBy: 'trainLoss',
  earlyStop: { patience: 1, metric: 'trainLoss' },
  divergence: { factor: 2, steps: 5, floor: 0.1 },
  validateEvery: 1,
  alignmentImages: 1,
  seed: 1,
  limit: 10,
  cacheFeatures: true,
  featurePrecision: 'float16',
  featureCopies: 1,
  checkpointEverySeconds: 1,
  checkpointEverySteps: 1,
  logEverySteps: 1,
  initFrom: 'a',
  stem: { path: 'a', sha256: '0'.repeat(64) },
  explainEvery: 1,
  explainImages: 1,
};

type Path = readonly (string | number)[];

/** The path of every value in it but the network's own, leaves and what holds them. */
function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, x]) => pathsOf(x, [...path, Array.isArray(value) ? Number(key) : key]));
  return path.length === 0 ? inner : [path, ...inner];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((inner, key) => (inner as Record<string, unknown>)[key], value);
}

const typeOf = (value: unknown): string => (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value);

describe('a value of a wrong type', () => {
  it('is taken nowhere, and named where it stands', () => {
    expect(parseTrainConfig(whole)).toMatchObject(whole);
    const wrong: readonly unknown[] = [null, true, 'text', '1', -0.5, NaN, Infinity, [], {}, [null], { a: 1 }];
    for (const path of pathsOf(whole)) {
      const kind = typeOf(valueAt(whole, path));
      for (const value of wrong.filter((x) => typeOf(x) !== kind)) {
        // a number of classes is as good as their names
        if (path.join() === 'classes' && typeof value === 'number') continue;
        const config = structuredClone(whole) as Record<string, unknown>;
        const parent = valueAt(config, path.slice(0, -1)) as Record<string, unknown>;
        parent[path.at(-1) as string] = value;
        const thrown = caught(() => parseTrainConfig(config, 'run.json'));
        expect(thrown, `${path.join('.')} = ${JSON.stringify(value)}`).toMatchObject({ name: 'CodaError', kind: 'argument' });
        expect((thrown as Error).message, `${path.join('.')} = ${JSON.stringify(value)}`).toMatch(
          new RegExp(`^run\\.json: (\\d+ mistakes\\n  )?${String(path[0])}`),
        );
      }
    }
  });

  it.each<[unknown, string]>([
    [[], 'run.json'],
    [{ ...base, linearMapPenalty: [] }, 'run.json: linearMapPenalty'],
    [{ ...base, linearMapPenalty: [1, 2] }, 'run.json: linearMapPenalty'],
    [{ ...base, augmentation: { kind: 'recipe', erase: [] } }, 'run.json: augmentation.erase'],
  ])('is an array for an object, not the keys it has not: %j', (config, place) => {
    expect((caught(() => parseTrainConfig(config, 'run.json')) as Error).message).toBe(
      `${place}: not a valid value; expected an object, got an array`,
    );
  });

  it.each([null, 7, 'text', true, []])('%j is no config', (value) => {
    expect(() => parseTrainConfig(value, 'run.json')).toThrow(/^run\.json/);
  });
});

function caught(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}
