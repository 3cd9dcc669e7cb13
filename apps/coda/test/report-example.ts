/** A made report: nothing is trained. Planted maps, so that the pictures can be judged by eye. */
import { ndArray } from '@coda-nets/core';
import { pictureOf, type Explanation, type TapExplanation } from '@coda-nets/depth';
import type { ReportImage } from '../src/report/explained-image.ts';
import type { ReportOptions } from '../src/report/render-report.ts';

const exampleClasses = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

const TAPS: readonly (readonly [string, number, boolean])[] = [
  ['input', 32, false],
  ['stem', 32, false],
  ['stage1.block0', 32, false],
  ['stage1.block2', 32, false],
  ['stage2.block0', 16, false],
  ['stage2.block2', 16, true],
  ['head.0', 8, true],
  ['head.1', 8, true],
  ['head.2', 8, true],
];

/** A blob of colour on a gradient, and maps that point at the blob. */
export function exampleImage(i: number): ReportImage {
  const target = i % 10;
  const [cx, cy] = [0.35 + 0.3 * ((i * 0.37) % 1), 0.4 + 0.25 * ((i * 0.61) % 1)];
  const blob = (x: number, y: number, radius: number): number => Math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / radius ** 2);
  const pixels = Float32Array.from({ length: 32 * 32 * 3 }, (_, k) => {
    const [x, y, c] = [(Math.floor(k / 3) % 32) / 32, Math.floor(k / 96) / 32, k % 3];
    const ground = 0.3 + 0.4 * y + 0.1 * Math.sin(9 * x + i);
    return ground + (0.25 + 0.5 * Math.sin(i + 2 * c)) * blob(x, y, 0.22);
  });
  const logits = Float32Array.from({ length: 10 }, (_, c) => (c === target ? 3.1 - 0.2 * i : -2.2 - ((c * 7 + i * 3) % 10) / 5));
  const expected = (logits[target] as number) - Math.log(0.1 / 0.9);
  const taps = TAPS.map(([name, size, exact], t): TapExplanation => {
    const raw = Float32Array.from({ length: size * size }, (_, p) => {
      const [x, y] = [((p % size) + 0.5) / size, (Math.floor(p / size) + 0.5) / size];
      const noise = Math.sin(p * 12.9898 + t * 78.233 + i) * (exact ? 0.15 : 0.8 - 0.08 * t);
      return blob(x, y, 0.2) - 0.35 * blob(x + 0.35, y - 0.2, 0.15) + noise;
    });
    const total = raw.reduce((a, b) => a + b, 0);
    const data = raw.map((x) => (x / (exact ? total : Math.abs(total) + 40)) * expected);
    const sum = data.reduce((a, b) => a + b, 0);
    const tap = { name, exact, map: ndArray('float32', [size, size], data), sum, expected, residual: Math.abs(sum - expected) / expected };
    return tap;
  });
  const explanation: Explanation = {
    logits: ndArray('float32', [10], logits),
    probabilities: ndArray(
      'float32',
      [10],
      logits.map((z) => 1 / (1 + Math.exp(-z))),
    ),
    target,
    logit: logits[target] as number,
    probability: 1 / (1 + Math.exp(-(logits[target] as number))),
    taps,
  };
  const picture = pictureOf(ndArray('float32', [32, 32, 3], pixels));
  return { name: `test image ${137 * i + 12}`, picture, label: i === 2 ? 5 : target, explanation };
}

export function exampleReport(images = 3): ReportOptions {
  return {
    title: 'A hybrid ResNet-20 + CoDA on CIFAR-10',
    figures: {
      testAccuracy: 0.8713,
      testImages: 10_000,
      trainSeconds: 252.4,
      completenessResidual: 3.4e-7,
      onnxMaxAbsDiff: 2.1e-6,
      engine: 'ONNX Runtime 1.30.0, CPU, 2 threads',
      parameters: 965_760,
      seed: 7,
      commit: 'f279b2e',
    },
    history: Array.from({ length: 8 }, (_, i) => ({
      epoch: i + 1,
      trainLoss: 0.24 * Math.exp(-i / 2.2) + 0.06,
      trainAccuracy: 0.93 - 0.35 * Math.exp(-i / 1.8),
      validationLoss: 0.2 * Math.exp(-i / 2) + 0.08,
      validationAccuracy: 0.873 - 0.2 * Math.exp(-i / 1.5),
    })),
    classNames: exampleClasses,
    images: Array.from({ length: images }, (_, i) => exampleImage(i)),
  };
}
