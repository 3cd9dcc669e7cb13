/** A hybrid and a plain ResNet that have a few images right without training: random stems, and the linear readout solved for. */
import { initWeights, ndArray, Random, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { tapModel } from '@coda-nets/depth';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { resnet } from '@coda-nets/resnet';
import { cifar10ClassNames, loadBatch, type ImageSplit } from '@coda-nets/train';

/** Logit without bias of the right class; minus that of others. */
const SURE = 8;
const CLASSES = 10;
const backbone = { kind: 'resnet', depth: 8, width: 16 } as const;

/** Writes both; at most 32 images. */
export async function writeFittedModels(split: ImageSplit, hybridFile: string, resnetFile: string): Promise<void> {
  const images = await loadBatch(
    split,
    Array.from({ length: split.length }, (_, i) => i),
    { size: [32, 32] },
  );
  const wanted = Array.from({ length: CLASSES }, (_, c) =>
    Float64Array.from(split.labels, (label: number) => (label === c ? SURE : -SURE)),
  );
  const plain = resnet(backbone);
  const drawn = initWeights(plain, Random.seeded(1));
  const pooled = await sums(plain, drawn, 'layer3.0', images);
  const columns = wanted.map((y) =>
    leastNorm(
      pooled.map((f) => f.map((x) => x / 64)),
      y,
    ),
  );
  const fc = Float32Array.from({ length: 64 * CLASSES }, (_, i) => columns[i % CLASSES]?.[Math.floor(i / CLASSES)] as number);
  await save(resnetFile, plain, {
    ...drawn,
    'fc.weight': ndArray('float32', [64, CLASSES], fc),
    'fc.bias': ndArray('float32', [CLASSES], new Float32Array(CLASSES)),
  });

  const head = (temperature: number) => ({ temperature, layers: [{ out: CLASSES, kernel: 1, rank: 1 }] });
  const network = hybrid({ kind: 'hybrid', backbone, cut: 'layer2.0', classes: CLASSES, head: head(1) });
  const weights = initWeights(network, Random.seeded(2));
  const features = await sums(network, weights, 'layer2.0', images);
  const rows = wanted.map((y) => leastNorm(features, y));
  const norms = rows.map((row) => Math.hypot(...row));
  // with A = 0 a unit's dynamic weight is the squashed b: norm s of ‖b‖ = √(s/(1 − s)), here ½ for the longest
  const temperature = 1 / (2 * Math.max(...norms));
  const b = Float32Array.from({ length: 32 * CLASSES }, (_, i) => {
    const [c, channel] = [i % CLASSES, Math.floor(i / CLASSES)];
    const norm = norms[c] as number;
    const s = norm * temperature;
    return ((rows[c]?.[channel] as number) / norm) * Math.sqrt(s / (1 - s));
  });
  const zero = (name: string): NdArray => ({
    ...(weights[name] as NdArray<'float32'>),
    data: new Float32Array(weights[name]?.data.length as number),
  });
  await save(hybridFile, hybrid({ kind: 'hybrid', backbone, cut: 'layer2.0', classes: CLASSES, head: head(temperature) }), {
    ...weights,
    'head.0.A': zero('head.0.A'),
    'head.0.b': { ...(weights['head.0.b'] as NdArray<'float32'>), data: b },
  });
}

async function save(file: string, network: Network, weights: NamedArrays): Promise<void> {
  const preprocessing = { size: [32, 32], layout: 'rgb', range: [0, 1] } as const;
  await writeModel(file, {
    config: network.config,
    preprocessing: { ...preprocessing, size: [32, 32], range: [0, 1] },
    classNames: cifar10ClassNames,
    weights,
  });
}

/** By image, a tap's activation summed over its places. */
async function sums(network: Network, weights: NamedArrays, tap: string, images: NdArray<'float32'>): Promise<number[][]> {
  const model = tapModel({ engine: await onnxRuntimeEngine({ threads: 1 }), network, weights, tap });
  const { data, shape } = await model.activations(images);
  await model.dispose();
  const [count = 0, h = 0, w = 0, channels = 0] = shape;
  return Array.from({ length: count }, (_, n) => {
    const sum = Array.from({ length: channels }, () => 0);
    for (let i = 0; i < h * w * channels; i++) (sum[i % channels] as number) += data[n * h * w * channels + i] as number;
    return sum;
  });
}

/** w of least ‖w‖ with F w = y: Fᵀ(F Fᵀ + λ)⁻¹ y, by elimination. */
function leastNorm(f: readonly (readonly number[])[], y: Float64Array): number[] {
  const n = f.length;
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  const m = f.map((row, i) => [...f.map((other, j) => dot(row, other) + (i === j ? 1e-6 * dot(row, row) : 0)), y[i] as number]);
  for (let k = 0; k < n; k++) {
    const pivot = m[k] as number[];
    for (const [i, row] of m.entries()) {
      if (i === k) continue;
      const factor = (row[k] as number) / (pivot[k] as number);
      for (let j = k; j <= n; j++) (row[j] as number) -= factor * (pivot[j] as number);
    }
  }
  const solved = m.map((row, i) => (row[n] as number) / (row[i] as number));
  return (f[0] ?? []).map((_, c) => f.reduce((sum, row, i) => sum + (row[c] as number) * (solved[i] as number), 0));
}
