/** `coda bench training`: the same training steps on every engine that is here: how far their losses lie apart, and how many images a second they take. */
import { CodaError, initWeights, ndArray, Random, sizeOf, type Engine, type JsonObject, type NdArray } from '@coda-nets/core';
import { resolveEngine, webGpuEngine, type EngineName, type Fallbacks, type OnnxCompiled } from '@coda-nets/engine';
import { initialSlots, optimiser, trainingStep } from '@coda-nets/train';
import { buildNetwork, networkPresets } from '../../build-network.ts';
import { workNamed, type Bench, type BenchRun } from '../bench.ts';
import { median } from '../interleave.ts';
import { milliseconds, ratio, textTable } from '../text-table.ts';

interface TrainingWork {
  readonly id: string;
  readonly label: string;
  readonly config: JsonObject;
  readonly batch: number;
  readonly optimiser: Parameters<typeof optimiser>[0];
  readonly learningRate: number;
}

const ADAM = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 'coupled' } as const;
const NESTEROV = { kind: 'sgd', momentum: 0.9, nesterov: true } as const;

const works: readonly TrainingWork[] = [
  {
    id: 'resnet20',
    label: 'ResNet-20 32×32',
    config: networkPresets['resnet20-cifar10'] as JsonObject,
    batch: 128,
    optimiser: NESTEROV,
    learningRate: 0.01,
  },
  {
    id: 'hybrid',
    label: 'hybrid of ResNet-20, all trained',
    config: { ...(networkPresets['hybrid-cifar10-resnet20'] as JsonObject), stem: 'trained' },
    batch: 64,
    optimiser: ADAM,
    learningRate: 1e-4,
  },
  {
    id: 's-coda',
    label: 'S-CoDA 32×32',
    config: networkPresets['coda-s-cifar10'] as JsonObject,
    batch: 16,
    optimiser: ADAM,
    learningRate: 2.5e-4,
  },
];

/** Those that train every network; eager backends but TensorFlow's take minutes for what is here. */
const candidates: readonly EngineName[] = ['onnxruntime', 'webgpu', 'tensorflow'];
/** How far an engine's losses may lie from the first one's, of the loss before training: later ones are small, and rounding grows on the way down. */
const TOLERANCE = 1e-3;
const STEPS = 50;
const QUICK_STEPS = 10;

interface EngineSteps {
  readonly engine: EngineName;
  readonly losses: readonly number[];
  readonly medianMs: number;
  readonly imagesPerSecond: number;
  /** Largest |loss − loss of the first engine| over the loss of the first step. */
  readonly deviation: number;
  /** Nodes of a GPU's graph that ran on the CPU. */
  readonly fallbacks?: Fallbacks | undefined;
}

export const trainingBench: Bench = {
  name: 'training',
  description: 'the same training on every engine here',
  works: works.map(({ id }) => id),
  run: async (options) => {
    const { io, quick, seed, signal } = options;
    const chosen = options.works === undefined ? works : options.works.map((id) => workNamed(works, id, 'bench training: --works'));
    const engines = await enginesHere(options);
    const rows: { readonly work: string; readonly label: string; readonly engines: readonly EngineSteps[] }[] = [];
    for (const work of chosen) {
      const measured: EngineSteps[] = [];
      for (const engine of engines) {
        if (signal.aborted) return { finished: false, rows };
        const bar = io.progress(`${work.label}, ${engine.name}`, quick ? QUICK_STEPS : STEPS, 'steps');
        try {
          measured.push(
            await stepsOn(engine, work, { steps: quick ? QUICK_STEPS : STEPS, seed, reference: measured[0], onStep: bar.update }),
          );
        } finally {
          bar.stop();
        }
      }
      rows.push({ work: work.id, label: work.label, engines: measured });
    }
    for (const line of [...tableOf(rows), ...fallbackLines(rows)]) io.say(line);
    const apart = rows
      .flatMap((row) => row.engines.map((one) => ({ ...one, label: row.label })))
      .find(({ deviation }) => !(deviation <= TOLERANCE));
    if (apart === undefined) return { finished: true, rows };
    throw new CodaError({
      kind: 'numeric',
      where: `bench training: ${apart.label}: ${apart.engine}`,
      problem: `losses differ from those of ${engines[0]?.name}`,
      expected: `within ${TOLERANCE} of each other`,
      got: String(apart.deviation),
    });
  },
};

/** The engine that was asked for beside the CPU's, or all there are. */
async function enginesHere({ engines, threads, io }: BenchRun): Promise<readonly Engine[]> {
  const asked = engines[0]?.name;
  const found: Engine[] = [];
  for (const name of candidates) {
    try {
      if (name === 'webgpu') found.push(await webGpuEngine({ threads, listFallbacks: true }));
      else found.push(engines.find((one) => one.name === name) ?? (await resolveEngine(name, { threads })).engine);
    } catch (error) {
      if (!CodaError.isInstance(error) || name === asked) throw error;
      io.say(`engine: ${name} is not measured: ${error.problem}`);
    }
  }
  return found;
}

async function stepsOn(
  engine: Engine,
  { config, label, batch, optimiser: kind, learningRate }: TrainingWork,
  {
    steps,
    seed,
    reference,
    onStep,
  }: {
    readonly steps: number;
    readonly seed: number;
    readonly reference: EngineSteps | undefined;
    readonly onStep: (done: number) => void;
  },
): Promise<EngineSteps> {
  const network = buildNetwork(config, `bench training: ${label}`);
  const random = Random.seeded(seed);
  const weights = initWeights(network, random.split('weights'));
  const optimise = optimiser(kind);
  const step = trainingStep({ network, optimiser: optimise, batchSize: batch });
  const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(optimise, network.weights)));
  try {
    const pixels = random.split('images');
    const shape = [batch, ...network.inputShape];
    const images = ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => pixels.uniform()),
    );
    const labels: NdArray = ndArray(
      'int32',
      [batch],
      Int32Array.from({ length: batch }, (_, i) => (7 * i) % network.classes),
    );
    const losses: number[] = [];
    const times: number[] = [];
    for (let i = 1; i <= steps; i++) {
      const start = performance.now();
      const { loss } = await compiled.run({ images, labels, ...step.scalars({ learningRate, step: i }) });
      times.push(performance.now() - start);
      losses.push(loss?.data[0] as number);
      onStep(i);
    }
    // the first one allocates, and on a GPU compiles
    const medianMs = median(times.slice(1));
    const deviations = losses.map((loss, i) => Math.abs(loss - (reference?.losses[i] ?? loss)) / (losses[0] as number));
    const fallbacks = engine.name === 'webgpu' ? await (compiled as OnnxCompiled).fallbacks() : undefined;
    return {
      engine: engine.name,
      losses,
      medianMs,
      imagesPerSecond: (1000 * batch) / medianMs,
      deviation: Math.max(...deviations),
      fallbacks,
    };
  } finally {
    await compiled.dispose();
  }
}

interface Row {
  readonly label: string;
  readonly engines: readonly EngineSteps[];
}

function fallbackLines(rows: readonly Row[]): readonly string[] {
  return rows.flatMap(({ label, engines }) =>
    engines.flatMap(({ engine, fallbacks }) => {
      if (fallbacks === undefined) return [];
      const ops = Object.entries(fallbacks).map(([op, count]) => `${op} ${count}`);
      return `${label}, ${engine}: on the CPU ran ${ops.length === 0 ? 'nothing' : ops.join(', ')}`;
    }),
  );
}

function tableOf(rows: readonly Row[]): readonly string[] {
  return textTable(
    ['training step', 'engine', 'median', 'images/s', 'faster than the first', 'losses apart'],
    rows.flatMap(({ label, engines }) =>
      engines.map(({ engine, medianMs, imagesPerSecond, deviation }, i) => [
        i === 0 ? label : '',
        engine,
        milliseconds(medianMs),
        imagesPerSecond.toFixed(0),
        i === 0 ? '' : ratio((engines[0] as EngineSteps).medianMs / medianMs),
        i === 0 ? '' : deviation.toExponential(1),
      ]),
    ),
  );
}
