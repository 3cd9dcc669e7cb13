/** `evaluate` against plain loops over every image. */
import { initWeights, ndArray, Random, type NamedArrays } from '@coda-nets/core';
import { eagerEngine } from '@coda-nets/engine';
import { expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { computeFeatures, evaluate, evaluatePart, mergeEvaluations, subset, syntheticDataset, type EvaluationPart } from '../src/index.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

const classes = 9;
const network = tinyNetwork({ classes });
const weights = initWeights(network, Random.seeded(5));
const all = syntheticDataset({ classes, perClass: 5, size: side }).split('train');
/** 43 = 10 + 10 + 10 + 10 + 3 images. */
const split = subset(
  all,
  Uint32Array.from({ length: 43 }, (_, i) => i),
);
const engine = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });

beforeAll(() => useBackend('cpu'));

/** The loss of each image, and how many images have their label among the k largest logits. */
function twin({ 'fc.weight': w, 'fc.bias': b }: NamedArrays): { losses: number[]; top: (k: number) => number } {
  const inputs = side * side * 3;
  const losses: number[] = [];
  const places: number[] = [];
  for (let n = 0; n < split.length; n++) {
    const logits = Array.from({ length: classes }, (_, c) => {
      let z = b?.data[c] as number;
      for (let i = 0; i < inputs; i++) z += ((split.images[n * inputs + i] as number) / 255) * (w?.data[i * classes + c] as number);
      return z;
    });
    const label = split.labels[n] as number;
    losses.push(Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)) - (logits[label] as number));
    // a stable sort: of equal logits the first stays first
    const order = logits.map((z, c) => [z, c] as const).sort(([y], [z]) => z - y);
    places.push(order.findIndex(([, c]) => c === label));
  }
  return { losses, top: (k) => places.filter((place) => place < k).length };
}
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('evaluate', () => {
  it('has the loss, top-1 and top-5 of every image once, the last chunk smaller', async () => {
    const { losses, top } = twin(weights);
    // else the comparison below could not tell them apart
    expect(new Set([0, 1, 2, 4, 5, 6, 9].map(top)).size).toBe(7);
    const meanOfChunks = mean([0, 10, 20, 30, 40].map((first) => mean(losses.slice(first, first + 10))));
    expect(Math.abs(meanOfChunks - mean(losses))).toBeGreaterThan(1e-3);
    const done: number[] = [];
    await expectNoLeak(async () => {
      const result = await evaluate({
        network,
        weights,
        engine,
        split,
        batchSize: 10,
        onProgress: (n) => done.push(n),
      });
      expect(result).toMatchObject({ top1: top(1) / 43, top5: top(5) / 43, images: 43 });
      // a mean of 43 float32 losses
      expect(result.loss).toBeCloseTo(mean(losses), 5);
    });
    expect(done).toEqual([10, 20, 30, 40, 43]);
  });

  it('counts the first of equal logits', async () => {
    const zero = Object.fromEntries(
      Object.entries(weights).map(([name, { shape, data }]) => [name, ndArray('float32', shape, new Float32Array(data.length))]),
    );
    const { top } = twin(zero);
    expect([top(1), top(5)]).toEqual([5, 25]);
    expect(await evaluate({ network, weights: zero, engine, split })).toMatchObject({ top1: 5 / 43, top5: 25 / 43 });
  });

  it('names the image whose logits are no numbers', async () => {
    const nan = { ...weights, 'fc.bias': ndArray('float32', [classes], new Float32Array(classes).fill(NaN)) };
    await expect(evaluate({ network, weights: nan, engine, split })).rejects.toThrow(
      'evaluate: image 0: the logit of class 0 is NaN. Are the weights of this model finite?',
    );
  });

  it('runs the head alone on features, to the same figures', async () => {
    const frozen = tinyNetwork({ classes, frozen: true });
    const given = initWeights(frozen, Random.seeded(6));
    const features = await computeFeatures({ engine, network: frozen, weights: given, split });
    const fed = new Set<string>();
    const watched = watchedEngine(engine, {
      onRun: (inputs, output) => {
        for (const name of Object.keys(inputs)) fed.add(name);
        return output;
      },
    });
    const onFeatures = await evaluate({
      network: frozen,
      weights: given,
      engine: watched,
      split,
      features,
      batchSize: 10,
    });
    const onImages = await evaluate({ network: frozen, weights: given, engine, split, batchSize: 10 });
    expect([...fed].sort()).toEqual(['features', 'labels', 'logits']);
    const untimed = { imagesPerSecond: expect.any(Number) };
    expect(onFeatures).toEqual({ ...onImages, ...untimed, loss: expect.closeTo(onImages.loss, 5) });
  });

  it('ends early where it is told to, and refuses no images', async () => {
    expect(await evaluate({ network, weights, engine, split, signal: AbortSignal.abort() })).toBeUndefined();
    await expect(evaluate({ network, weights, engine, split: { ...split, length: 0 } })).rejects.toThrow(
      'evaluate: split: there are no images',
    );
  });

  it('has the same bits from the parts of several, whatever their number and order', async () => {
    const options = { network, weights, engine, split, batchSize: 10 };
    const whole = await evaluate(options);
    for (const count of [1, 2, 3, 7]) {
      const done: number[][] = [];
      const parts: EvaluationPart[] = [];
      for (let index = count - 1; index >= 0; index--) {
        parts.push(await evaluatePart({ ...options, onProgress: (n, total) => done.push([n, total]) }, { index, count }));
      }
      const { imagesPerSecond: _, ...merged } = mergeEvaluations(parts);
      const { imagesPerSecond: __, ...expected } = whole;
      expect(merged).toEqual(expected);
      expect(done.at(-1)).toEqual(count < 7 ? [done.at(-1)?.[1], done.at(-1)?.[1]] : [10, 10]);
      if (count === 1) continue;
      expect(() => mergeEvaluations(parts.slice(0, -1))).toThrow(
        'mergeEvaluations: some batches are in no part; expected each of 5 once, got none of ',
      );
      expect(() => mergeEvaluations([...parts, ...parts.slice(-1)], 'coda merge')).toThrow(
        'coda merge: some batches are in two parts; expected each of 5 once, got twice 0',
      );
    }
    const [part] = [await evaluatePart(options, { index: 0, count: 1 })];
    expect(() => mergeEvaluations([part, { ...part, of: 6 }])).toThrow(
      'mergeEvaluations: parts of two evaluations; expected 5 batches, got 6',
    );
    expect(() => mergeEvaluations([])).toThrow('mergeEvaluations: there are no images');
    const [last] = part.batches.slice(-1);
    expect(() => mergeEvaluations([part, { ...part, batches: [{ ...last, batch: 7 } as never] }])).toThrow(
      'mergeEvaluations: a batch is beyond the last; expected 0 to 4, got 7',
    );
  });
});
