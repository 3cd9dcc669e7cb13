/**
 * `coda bench depth`: depth profiles and two sampling methods here and in PyTorch with autograd, in one run; numbers are compared before times.
 * The network is a hybrid of a CIFAR ResNet-20 with twelve taps, untrained: costs do not depend on what it learned.
 */
import {
  CodaError,
  encodeSafetensors,
  initWeights,
  ndArray,
  Random,
  sizeOf,
  type Engine,
  type JsonObject,
  type NamedArrays,
  type NdArray,
  type Network,
} from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { attributionMethods, attributor, depthProfiler, type Grid, type Method } from '@coda-nets/depth';
import { hybrid, hybridPreset } from '@coda-nets/hybrid';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workNamed, type Bench, type BenchRun } from '../bench.ts';
import { interleave, measureCalls, type Timing } from '../interleave.ts';
import { milliseconds, ratio, textTable } from '../text-table.ts';
import { depthTwins, type DepthTwins, type DepthWorkFiles, type PreparedDepthWork } from './depth-twins.ts';

const CELLS = 3;
const IMAGES = 9;
/** Float32 through eleven layers in other orders of summation, of the largest value. */
const TOLERANCE = 1e-4;
const QUICK_MASKS = 600;

interface DepthBenchWork {
  readonly id: string;
  readonly label: string;
  /** Of the twin's time over ours. */
  readonly goal: number;
  /** What one call is, for a rate by the minute. */
  readonly unit: 'grids' | 'images';
  /** Names and kinds of the twin's ways to do it; the goal is against the first. */
  readonly twins: readonly { readonly name: string; readonly kind: string }[];
  readonly parameters: (quick: boolean) => JsonObject;
}

const works: readonly DepthBenchWork[] = [
  {
    id: 'profile',
    label: 'profile of a grid, 12 taps, 9 classes, 96×96',
    goal: 5,
    unit: 'grids',
    twins: [
      { name: 'tap by tap', kind: 'profile' },
      { name: 'one pass', kind: 'profile-one-pass' },
    ],
    parameters: () => ({ n: CELLS }),
  },
  {
    id: 'rise',
    label: 'RISE at the input',
    goal: 1.5,
    unit: 'images',
    twins: [{ name: 'PyTorch', kind: 'rise' }],
    parameters: (quick) => ({ masks: quick ? QUICK_MASKS : 6000, cells: 6, p: 0.1 }),
  },
  {
    id: 'intgrad',
    label: 'IntGrad at the input',
    goal: 1.5,
    unit: 'images',
    twins: [{ name: 'PyTorch', kind: 'intgrad' }],
    parameters: () => ({ steps: 50 }),
  },
];

interface DepthBenchRow {
  readonly id: string;
  readonly label: string;
  readonly goal: number;
  readonly unit: DepthBenchWork['unit'];
  readonly parameters: JsonObject;
  readonly timings: readonly Timing[];
  /** Largest difference to the twin, of its largest value. */
  readonly deviation: number | undefined;
  readonly otherProcessors: number;
}

export const depthBench: Bench = {
  name: 'depth',
  description: 'depth profiles, RISE and IntGrad of a hybrid, against PyTorch with autograd',
  works: works.map(({ id }) => id),
  run: async (options) => {
    const chosen = options.works === undefined ? works : options.works.map((id) => workNamed(works, id, 'bench depth: --works'));
    const folder = await mkdtemp(join(tmpdir(), 'coda-bench-depth-'));
    let twins: DepthTwins | undefined;
    try {
      twins = await depthTwins(options, folder);
      if (twins !== undefined) options.io.say(`twins: ${twins.description}`);
      const inputs = await writeInputs(folder, options.seed);
      const rows: DepthBenchRow[] = [];
      for (const work of chosen) if (!options.signal.aborted) rows.push(await measured(work, inputs, twins, options));
      for (const line of reportLines(rows)) options.io.say(line);
      return { twins: twins?.description, rows, finished: !options.signal.aborted };
    } finally {
      await twins?.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

interface Inputs {
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly images: NdArray<'float32'>;
  readonly grid: Grid;
  readonly files: DepthWorkFiles;
}

/** The CIFAR preset with one more 3×3 layer: twelve taps. */
function benchNetwork(): Network {
  const preset = hybridPreset('cifar10-resnet20');
  const { head } = preset;
  const [first, ...rest] = head.layers;
  const layers = [first, { out: 64, kernel: 3, stride: 1, rank: 8, padding: 1 }, ...rest] as typeof head.layers;
  return hybrid({ ...preset, head: { ...head, layers } });
}

async function writeInputs(folder: string, seed: number): Promise<Inputs> {
  const network = benchNetwork();
  const random = Random.seeded(seed);
  const weights = initWeights(network, random.split('weights'));
  const shape = [IMAGES, ...network.inputShape];
  const drawn = random.split('images');
  const images = ndArray(
    'float32',
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => drawn.uniform()),
  );
  const order = Array.from({ length: IMAGES }, (_, i) => i);
  const grid: Grid = { images: order, classes: order };
  const [height, width] = network.inputShape;
  const tiled = new Float32Array(images.data.length);
  for (let y = 0; y < CELLS * height; y++) {
    for (let x = 0; x < CELLS * width; x++) {
      const image = Math.floor(y / height) * CELLS + Math.floor(x / width);
      const from = 3 * ((image * height + (y % height)) * width + (x % width));
      tiled.set(images.data.subarray(from, from + 3), 3 * (y * CELLS * width + x));
    }
  }
  const files = { network: join(folder, 'network.safetensors'), data: join(folder, 'data.safetensors') };
  await writeFileAtomic(files.network, encodeSafetensors(weights, { config: JSON.stringify(network.config) }));
  await writeFileAtomic(
    files.data,
    encodeSafetensors({
      grids: ndArray('float32', [1, CELLS * height, CELLS * width, 3], tiled),
      classes: ndArray('int32', [1, IMAGES], Int32Array.from(order)),
      images: oneImage(images),
      labels: ndArray('int32', [1], Int32Array.of(0)),
    }),
  );
  return { network, weights, images, grid, files };
}

function oneImage({ shape, data }: NdArray<'float32'>): NdArray<'float32'> {
  return ndArray('float32', [1, ...shape.slice(1)], data.slice(0, sizeOf(shape.slice(1))));
}

async function measured(work: DepthBenchWork, inputs: Inputs, twins: DepthTwins | undefined, run: BenchRun): Promise<DepthBenchRow> {
  const { engines, rounds, quick, io, signal } = run;
  const parameters = work.parameters(quick);
  const prepared: PreparedDepthWork[] = [];
  try {
    for (const engine of engines) prepared.push(await ours(work, inputs, engine, parameters));
    for (const { name, kind } of twins === undefined ? [] : work.twins) {
      prepared.push(await (twins as DepthTwins).prepare(name, kind, inputs.files, parameters));
    }
    const [first, ...others] = prepared;
    const expected = await (first as PreparedDepthWork).results();
    let deviation: number | undefined;
    for (const other of others) deviation = Math.max(deviation ?? 0, agreed(work, other.name, await other.results(), expected));
    // who takes seconds must have run before
    for (const one of prepared) await one.measure(1);
    const bar = io.progress(work.label, rounds * prepared.length, 'samples');
    let done = 0;
    const { timings, otherProcessors } = await interleave(prepared, {
      rounds,
      stopped: () => signal.aborted,
      onSample: () => bar.update(++done),
    }).finally(() => bar.stop());
    const { id, label, goal, unit } = work;
    return { id, label, goal, unit, parameters, timings, deviation, otherProcessors };
  } finally {
    await Promise.allSettled(prepared.map((one) => one.release()));
  }
}

async function ours(work: DepthBenchWork, inputs: Inputs, engine: Engine, parameters: JsonObject): Promise<PreparedDepthWork> {
  const { network, weights, images, grid } = inputs;
  const name = `ours (${engine.name})`;
  if (work.id === 'profile') {
    const profiler = await depthProfiler({ engine, network, weights, images, n: CELLS, method: attributionMethods.contributions() });
    const profile = () => profiler.measure([grid]);
    return {
      name,
      measure: (repeats) => measureCalls(profile, repeats),
      results: async () => {
        const arrays = (await profile()).flatMap(({ localisation: { pool, upsample } }, tap) =>
          Object.entries({ pool: pool ?? [], upsample }).map(
            ([scoring, values]) => [`${scoring}/${tap}`, ndArray('float32', [values.length], Float32Array.from(values))] as const,
          ),
        );
        return Object.fromEntries(arrays);
      },
      release: () => profiler.dispose(),
    };
  }
  const open = (method: Method) => attributor({ engine, network, weights, method, taps: ['input'] });
  const image = oneImage(images);
  const mapOf = async (attribute: Awaited<ReturnType<typeof open>>): Promise<NamedArrays> => {
    const { taps } = await attribute.attribute(image, [0]);
    return { map: taps[0]?.maps as NdArray };
  };
  const methodOf = (changed: JsonObject = {}): Method => {
    const all = { ...parameters, ...changed };
    return work.id === 'rise' ? attributionMethods.rise(all) : attributionMethods.intGrad(all);
  };
  const attribute = await open(methodOf());
  return {
    name,
    measure: (repeats) => measureCalls(() => mapOf(attribute), repeats),
    results: async () => {
      if (work.id !== 'rise') return mapOf(attribute);
      // masks that hide nothing: every place has the plain probability
      const plain = await open(methodOf({ masks: 2, p: 1 }));
      const result = await mapOf(plain);
      await plain.dispose();
      return result;
    },
    release: () => attribute.dispose(),
  };
}

/** The largest difference, of the largest value. Throws a CodaError where it is above the tolerance. */
function agreed(work: DepthBenchWork, name: string, actual: NamedArrays, expected: NamedArrays): number {
  let worst = 0;
  for (const [key, array] of Object.entries(expected)) {
    const [a, b] = [actual[key]?.data as Float32Array | undefined, array.data as Float32Array];
    const largest = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
    const apart = a?.length === b.length ? b.reduce((most, x, i) => Math.max(most, Math.abs(x - (a[i] as number))), 0) / largest : Infinity;
    if (!(apart <= TOLERANCE)) {
      throw new CodaError({
        kind: 'numeric',
        where: `bench depth: ${work.label}: ${key}`,
        problem: `${name} and ours compute different numbers, so their times do not compare`,
        expected: `at most ${TOLERANCE} of the largest apart`,
        got: apart.toExponential(2),
      });
    }
    worst = Math.max(worst, apart);
  }
  return worst;
}

function reportLines(rows: readonly DepthBenchRow[]): readonly string[] {
  const cells = rows.flatMap(({ label, goal, unit, timings, deviation, otherProcessors }) => {
    const [own] = timings;
    return timings.map((timing, i) => [
      i === 0 ? label : '',
      timing.name,
      milliseconds(timing.medianMs),
      `${(60_000 / timing.medianMs).toFixed(1)} ${unit}/min`,
      i === 0 || own === undefined ? '' : ratio(timing.medianMs / own.medianMs),
      i === 0 || own === undefined ? '' : ratio(timing.medianProcessorMs / own.medianProcessorMs),
      i === 1 ? ratio(goal) : '',
      i === 0 ? (deviation?.toExponential(1) ?? '') : '',
      i === 0 ? otherProcessors.toFixed(2) : '',
    ]);
  });
  const header = [
    'median of one call',
    'by',
    'time',
    'rate',
    '/ ours',
    'processor',
    'goal',
    'largest deviation',
    'processors busy with other work',
  ];
  return textTable(header, cells);
}
