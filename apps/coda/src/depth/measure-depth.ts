/**
 * The work of `coda depth`: for every model and method the profile over the same grids, and pixel removal, in parts that are stored as they
 * are done. Results do not depend on the parts. Files and pictures are others'.
 */
import type { Engine, JsonObject, NdArray, Network } from '@coda-nets/core';
import {
  attributor,
  confidentGrids,
  depthProfiler,
  interpretableDepth,
  joinTapProfiles,
  pixelRemoval,
  summaryOf,
  tapModel,
  type DepthProfiler,
  type GridList,
  type GridPreset,
  type TapProfile,
} from '@coda-nets/depth';
import { isOf, loadBatch, wholeWork, type ImageSplit, type Share } from '@coda-nets/train';
import { classify } from '../classify.ts';
import type { CommandIo } from '../command-io.ts';
import type { OpenModel } from '../open-model.ts';
import type { MethodResult, ModelResult } from './depth-results.ts';
import { isOnePass, type NamedMethod } from './named-method.ts';
import type { StoredParts } from './stored-parts.ts';

/** Grids of one part: some seconds of a method with one pass, and of the others some minutes. */
const GRIDS_A_PART = { onePass: 10, probing: 1 } as const;
const REMOVAL_IMAGES_A_PART = 32;
const REMOVAL = { points: 129, share: 0.25 } as const;
/** Stored numbers have so many digits: more than the 1e-4 to which engines agree. */
const DIGITS = 7;

export interface DepthModel extends OpenModel {
  readonly name: string;
  /** Of the file. */
  readonly sha256: string;
}

export interface PlannedMethod extends NamedMethod {
  /** From the input to the output. */
  readonly taps: readonly string[];
  /** Those of `taps` at which pixels, or positions, are removed. */
  readonly removalTaps: readonly string[];
}

export interface DepthWork {
  readonly engine: Engine;
  readonly split: ImageSplit;
  /** The first images of the split, float32 in [0, 1]: what grids are drawn from. */
  readonly images: NdArray<'float32'>;
  readonly n: number;
  readonly grids: number;
  readonly threshold: GridPreset['threshold'];
  readonly scoring: GridPreset['scoring'];
  readonly smooth: number;
  readonly setting: 'whole' | 'difull';
  /** Images for pixel removal. */
  readonly removal: number;
  /** τ of interpretable depth. */
  readonly depthThreshold: number;
  readonly seed: number;
  readonly parts: StoredParts;
  /** Parts are dealt in turns to those who share the work; who has a share of it alone leaves results to others. Default: the whole. */
  readonly share?: Share;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
}

/** Images first … first + count − 1 of the split, at the size of the networks. */
export function imagesIn(split: ImageSplit, first: number, count: number, size: readonly [number, number]): Promise<NdArray<'float32'>> {
  return loadBatch(
    split,
    Array.from({ length: count }, (_, i) => first + i),
    { size },
  );
}

/** Grids of images that every model is right and sure of. */
export function drawGrids(models: readonly DepthModel[], work: DepthWork): Promise<GridList> {
  const { split, images, n, grids: count, threshold, seed, parts, engine, io } = work;
  const limit = images.shape[0] as number;
  const key = { part: 'grids', models: models.map(({ sha256 }) => sha256), data: split.fingerprint, limit, n, count, threshold, seed };
  return parts.once(key, async () => {
    const predictions = [];
    for (const model of models) {
      io.say(`${model.name}: predictions of ${limit} images, to draw grids from`);
      predictions.push(await classify(engine, model, images));
    }
    return confidentGrids({ predictions, labels: split.labels.subarray(0, limit), n, count, threshold, seed });
  });
}

export async function measureModel(
  model: DepthModel,
  methods: readonly PlannedMethod[],
  gridList: GridList,
  work: DepthWork,
): Promise<ModelResult> {
  const { network, name, sha256 } = model;
  const results: MethodResult[] = [];
  for (const planned of methods) {
    const taps = await measuredTaps(model, planned, gridList, work);
    const removal = await measuredRemoval(model, planned, work);
    if (isPartial(work)) continue;
    results.push(methodResult(planned, taps, removal, gridList, network, work));
  }
  const taps = network.taps.map(({ name: tap, channels, stride, exact }) => ({ name: tap, channels, stride, exact }));
  return { name, sha256, kind: network.config.kind, taps, methods: results };
}

/** What every part of a method depends on. */
function keyOf({ sha256 }: DepthModel, { method }: NamedMethod, { split, engine }: DepthWork): JsonObject {
  return { model: sha256, method: method.name, parameters: method.parameters, data: split.fingerprint, engine: engine.name };
}

/** One-pass methods take all taps at once; others one tap after another. */
async function measuredTaps(
  model: DepthModel,
  planned: PlannedMethod,
  gridList: GridList,
  work: DepthWork,
): Promise<readonly TapProfile[]> {
  const { n, smooth, setting, images, engine, parts, io, signal } = work;
  const onePass = isOnePass(planned);
  const groups = onePass ? [planned.taps] : planned.taps.map((tap) => [tap]);
  const size = onePass ? GRIDS_A_PART.onePass : GRIDS_A_PART.probing;
  const { grids } = gridList;
  const profiles: TapProfile[] = [];
  for (const taps of groups) {
    const label = `${model.name}, ${planned.name}${onePass ? '' : ` at ${taps.join()}`}`;
    const bar = io.progress(label, grids.length, 'grids');
    let profiler: Promise<DepthProfiler> | undefined;
    const open = (): Promise<DepthProfiler> =>
      depthProfiler({
        engine,
        network: model.network,
        weights: model.model.weights,
        images,
        n,
        method: planned.method,
        taps,
        setting,
        smooth,
        signal,
      });
    const done: (readonly TapProfile[])[] = [];
    try {
      for (let start = 0; start < grids.length; start += size) {
        if (!isOf(work.share ?? wholeWork, start / size)) continue;
        const part = grids.slice(start, start + size);
        const key = { part: 'grids of a method', ...keyOf(model, planned, work), taps, setting, smooth, grids: part as never };
        const measured = await parts.once(key, async () => {
          profiler ??= open();
          const found = await (await profiler).measure(part, (grid) => bar.update(start + grid));
          return found.map(rounded);
        });
        done.push(measured);
        bar.update(Math.min(grids.length, start + size));
      }
    } finally {
      bar.stop();
      await (await profiler)?.dispose();
    }
    if (!isPartial(work)) profiles.push(...joinTapProfiles(done));
  }
  return profiles;
}

function isPartial({ share = wholeWork }: DepthWork): boolean {
  return share.count > 1;
}

interface RemovalPart {
  readonly removed: readonly number[];
  readonly least: readonly (readonly number[])[];
  readonly most: readonly (readonly number[])[];
}

async function measuredRemoval(model: DepthModel, planned: PlannedMethod, work: DepthWork): Promise<MethodResult['removal']> {
  const { removal: images, parts, io, signal } = work;
  const results: MethodResult['removal'] = [];
  if (images === 0) return results;
  for (const tap of planned.removalTaps) {
    const bar = io.progress(`${model.name}, ${planned.name}, removal at ${tap}`, images, 'images');
    const remover = lazyRemover(model, planned, tap, work);
    const done: RemovalPart[] = [];
    try {
      for (let first = 0; first < images; first += REMOVAL_IMAGES_A_PART) {
        if (!isOf(work.share ?? wholeWork, first / REMOVAL_IMAGES_A_PART)) continue;
        const count = Math.min(REMOVAL_IMAGES_A_PART, images - first);
        const key = { part: 'removal', ...keyOf(model, planned, work), tap, first, count, ...REMOVAL };
        signal.throwIfAborted();
        done.push(await parts.once(key, () => remover.remove(first, count)));
        bar.update(first + count);
      }
    } finally {
      bar.stop();
      await remover.dispose();
    }
    if (isPartial(work)) continue;
    for (const order of ['least', 'most'] as const) {
      const curves = done.flatMap((part) => part[order]);
      const mean = (curves[0] ?? []).map((_, i) => curves.reduce((sum, curve) => sum + (curve[i] as number), 0) / curves.length);
      const meanOfCurve = mean.reduce((sum, x) => sum + x, 0) / mean.length;
      results.push({
        tap,
        order,
        images,
        removed: [...(done[0] as RemovalPart).removed],
        mean: mean.map(shortened),
        meanOfCurve: shortened(meanOfCurve),
      });
    }
  }
  return results;
}

function lazyRemover(
  { network, model: { weights } }: DepthModel,
  { method }: PlannedMethod,
  tap: string,
  { engine, split, signal }: DepthWork,
): { remove(first: number, count: number): Promise<RemovalPart>; dispose(): Promise<void> } {
  let opened: Promise<Awaited<ReturnType<typeof attributor>>> | undefined;
  const model = tapModel({ engine, network, weights, tap, signal });
  return {
    remove: async (first, count) => {
      opened ??= attributor({ engine, network, weights, method, taps: [tap], signal });
      const [height, width] = network.inputShape;
      const images = await imagesIn(split, first, count, [height, width]);
      const targets = split.labels.slice(first, first + count);
      const { taps } = await (await opened).attribute(images, [...targets]);
      const [{ maps }] = taps as [(typeof taps)[number]];
      const given = { model, activations: await model.activations(images), targets: Int32Array.from(targets), maps, ...REMOVAL };
      const [least, most] = [await pixelRemoval({ ...given, order: 'least' }), await pixelRemoval({ ...given, order: 'most' })];
      const curves = ({ values }: typeof least): number[][] => values.map((curve) => curve.map(shortened));
      return { removed: least.removed, least: curves(least), most: curves(most) };
    },
    dispose: async () => {
      await (await opened)?.dispose();
      await model.dispose();
    },
  };
}

function methodResult(
  planned: PlannedMethod,
  taps: readonly TapProfile[],
  removal: MethodResult['removal'],
  gridList: GridList,
  network: Network,
  { scoring, setting, depthThreshold, seed }: DepthWork,
): MethodResult {
  const { name, method, preset } = planned;
  const everywhere = taps.length === network.taps.length;
  const pooled = taps.every(({ localisation }) => localisation.pool !== null);
  const depth = everywhere
    ? interpretableDepth(
        { method: { name, parameters: method.parameters }, setting, gridList, taps },
        { threshold: depthThreshold, seed, scoring: scoring === 'pool' && pooled ? 'pool' : 'upsample' },
      )
    : undefined;
  return {
    name,
    method: method.name,
    preset,
    parameters: method.parameters as MethodResult['parameters'],
    kind: isOnePass(planned) ? 'one pass' : 'probing',
    taps: taps.map(({ name: tap, exact, size, localisation: { pool, upsample }, residual, negativeMass }) => ({
      tap,
      exact,
      size: [...size],
      pool: pool === null ? null : { summary: figures(pool), values: [...pool] },
      upsample: { summary: figures(upsample), values: [...upsample] },
      residual: figures(residual),
      negativeMass: figures(negativeMass),
    })),
    interpretableDepth: depth === undefined ? null : { ...depth, deepest: depth.deepest ?? null, curve: [...depth.curve] },
    removal,
  };
}

function figures(values: readonly number[]): MethodResult['taps'][number]['residual'] {
  const { mean, min, lowerQuartile, median, upperQuartile, max } = summaryOf(values);
  return { mean, min, lowerQuartile, median, upperQuartile, max };
}

function rounded({ localisation: { pool, upsample }, ...tap }: TapProfile): TapProfile {
  return {
    ...tap,
    localisation: { pool: pool?.map(shortened) ?? null, upsample: upsample.map(shortened) },
    residual: tap.residual.map(shortened),
    negativeMass: tap.negativeMass.map(shortened),
  };
}

function shortened(x: number): number {
  return Number(x.toPrecision(DIGITS));
}
