import { beforeAll, describe, expect, test } from 'vitest';
import { ndArray, zerosArray } from '@coda-nets/core';
import { expectClose, expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { explainer } from '../src/explainer.ts';
import { eagerEngine, TOY_BIAS, toyImages, toyNetwork, toyWeights } from './toy-network.ts';

/** What the project promises in float32. */
const COMPLETENESS = 1e-5;

/** The rounding of sums of some hundred float32 in another order; the project promises 1e-4. */
const CHUNKED = { rtol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

const network = toyNetwork({ stem: true });
const base = { engine: eagerEngine, network, weights: toyWeights(network) };

describe('explainer', () => {
  test('gives output, map and residual of each image and tap together', async () => {
    const { explain, taps } = await explainer(base);
    expect(taps).toEqual(['input', 'stem', 'layer1', 'layer2']);
    const explanations = await explain(toyImages(2), [1, -1]);
    expect(explanations).toHaveLength(2);
    for (const { logits, probabilities, target, logit, probability, taps } of explanations) {
      expect(logits.shape).toEqual([4]);
      expect(logit).toBe(logits.data[target]);
      expect(probability).toBe(probabilities.data[target]);
      expect(probability).toBeCloseTo(1 / (1 + Math.exp(-logit)), 6);
      expect(taps.map((tap) => tap.exact)).toEqual([false, true, true, true]);
      for (const { exact, map, sum, expected, residual, full } of taps) {
        expect(map.shape).toEqual([5, 7]);
        expectClose(expected, logit - TOY_BIAS, { rtol: 1e-6 });
        expectClose(
          sum,
          map.data.reduce((a, b) => a + b, 0),
          { rtol: 1e-12 },
        );
        expect(residual).toBe(Math.abs(sum - expected) / Math.abs(expected));
        if (exact) expect(residual).toBeLessThan(COMPLETENESS);
        else expect(residual).toBeGreaterThan(0.01);
        expect(full).toBeUndefined();
      }
    }
    expect(explanations[0]?.target).toBe(1);
    const top = explanations[1]?.logits.data as Float32Array;
    expect(explanations[1]?.target).toBe(top.indexOf(Math.max(...top)));
  });

  test('chunks, and the result does not depend on it', async () => {
    eagerEngine.batches.length = 0;
    const whole = await (await explainer(base)).explain(toyImages(5));
    const chunked = await (await explainer({ ...base, chunk: 2 })).explain(toyImages(5));
    expect(eagerEngine.batches).toEqual([5, 2, 2, 1]);
    // bits on plain JavaScript; TensorFlow adds in another order where other rows come along
    for (const [n, { logits, target, taps }] of chunked.entries()) {
      const same = whole[n] as (typeof whole)[number];
      expect(target).toBe(same.target);
      expectClose(logits.data, same.logits.data, CHUNKED);
      expect(taps.map(({ name, exact }) => [name, exact])).toEqual(same.taps.map(({ name, exact }) => [name, exact]));
      for (const [t, { map }] of taps.entries()) expectClose(map.data, same.taps[t]?.map.data as Float32Array, CHUNKED);
    }
    expect(await (await explainer(base)).explain(toyImages(0), [])).toEqual([]);
  });

  test('full maps are contributions and linear map by channel', async () => {
    const { explain } = await explainer({ ...base, taps: ['layer1'], withFullMaps: true });
    const [explanation] = await explain(toyImages(1));
    const tap = explanation?.taps[0];
    expect(tap?.full?.contributions.shape).toEqual([5, 7, 5]);
    expect(tap?.full?.linearMap.shape).toEqual([5, 7, 5]);
    const summed = Float32Array.from({ length: 35 }, (_, p) =>
      (tap?.full?.contributions.data as Float32Array).slice(p * 5, p * 5 + 5).reduce((a, b) => a + b, 0),
    );
    expectClose(summed, tap?.map.data as Float32Array, { rtol: 1e-5, relativeTo: 'largest' });
  });

  test('the baseline is never called exact', async () => {
    const { explain } = await explainer({ ...base, method: 'inputTimesGradient' });
    const [explanation] = await explain(toyImages(1));
    expect(explanation?.taps.map((tap) => tap.exact)).toEqual([false, false, false, false]);
    expect(explanation?.taps[1]?.residual).toBeGreaterThan(0.01);
  });

  test('explains a network of one class', async () => {
    const network = toyNetwork({ classes: 1 });
    const { explain } = await explainer({ ...base, network, weights: toyWeights(network) });
    const [top, given] = await explain(toyImages(2), [-1, 0]);
    for (const explanation of [top, given]) {
      expect(explanation?.target).toBe(0);
      expect(explanation?.taps.every(({ exact, residual }) => exact && residual < COMPLETENESS)).toBe(true);
    }
  });

  test('taps come in the order of the network', async () => {
    expect((await explainer({ ...base, taps: ['layer2', 'input'] })).taps).toEqual(['input', 'layer2']);
  });

  test('leaves no tensor behind', async () => {
    const { explain } = await explainer({ ...base, withFullMaps: true });
    await expectNoLeak(async () => explain(toyImages(3)));
  });
});

describe('a wrong call', () => {
  test('is told what was expected', async () => {
    await expect(explainer({ ...base, taps: ['imput'] })).rejects.toThrow(
      'explain: tap "imput": the network has no such tap; expected one of input, stem, layer1, layer2. Did you mean "input"?',
    );
    await expect(explainer({ ...base, chunk: 0 })).rejects.toThrow(
      'explainer: chunk: not a number of images; expected an integer from 1, got 0',
    );
    const { explain } = await explainer(base);
    await expect(explain(zerosArray('float32', [1, 3, 5, 7]))).rejects.toThrow(
      'explain: images: not a batch of images; expected float32 [N, 5, 7, 3], got float32 [1, 3, 5, 7]',
    );
    await expect(explain(toyImages(2), [1])).rejects.toThrow('explain: targets: not one class for each image; expected 2, got 1');
    await expect(explain(toyImages(1), [4])).rejects.toThrow(
      'explain: targets[0]: not a class; expected an integer from 0 to 3, or −1 for the top class, got 4',
    );
  });

  test('a NaN pixel is an error and not a map', async () => {
    const { explain } = await explainer(base);
    const images = toyImages(2);
    const data = images.data.slice();
    data[data.length - 1] = Number.NaN;
    await expect(explain(ndArray('float32', images.shape, data), [0, 0])).rejects.toThrow(
      'explain: image 1, tap "input": the logit or a contribution is not a finite number. Check the image and the weights for NaN and infinity.',
    );
  });
});
