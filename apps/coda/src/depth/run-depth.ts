/** A depth analysis from model files to the files of its report. The command line is commands/depth.ts. */
import { CodaError, nearestName, oneProcess, parseConfig, type Engine, type JsonObject, type ProcessGroup } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { encodePng, gridPresets, smoothingOf, type PresetName } from '@coda-nets/depth';
import { openDataset, type ImageSplit, type Share } from '@coda-nets/train';
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { checkDataset } from '../check-dataset.ts';
import { inClassesOfModel } from '../classes-of-model.ts';
import { checkSameInRanks } from '../check-same-in-ranks.ts';
import type { CommandIo } from '../command-io.ts';
import { openModel } from '../open-model.ts';
import { projectVersion } from '../project-version.ts';
import { checkResultsFolder } from './check-results-folder.ts';
import { chartPng, depthCharts } from './depth-charts.ts';
import { depthTables } from './depth-csv.ts';
import { depthExamples, referenceTap } from './depth-examples.ts';
import { DEPTH_SCHEMA_VERSION, depthResultsSchema, type DepthResults } from './depth-results.ts';
import { imagesIn, type DepthModel, type DepthWork, type PlannedMethod } from './depth-work.ts';
import { drawGrids, fewGrids } from './draw-grids.ts';
import { measureModel } from './measure-depth.ts';
import { isOnePass, methodNames, namedMethod } from './named-method.ts';
import { renderDepthReport } from './render-depth-report.ts';
import { storedParts } from './stored-parts.ts';

/** In the images that grids are drawn from, as float32: 1 GB. */
const MOST_NUMBERS = 250_000_000;
/** A model of a billion parameters. */
const MAX_MODEL_BYTES = 2 ** 32;

export interface DepthRunOptions {
  readonly models: readonly string[];
  readonly data: string;
  readonly preset: PresetName;
  /** Names; `all` is every method of the preset. Default: those of the preset that take one pass. */
  readonly methods?: readonly string[] | undefined;
  /** Taps for methods that probe: names, `cut` or `all`. */
  readonly probeAt: readonly string[];
  readonly grids?: number | undefined;
  readonly cells?: number | undefined;
  readonly setting: 'whole' | 'difull';
  readonly removal?: number | undefined;
  readonly limit?: number | undefined;
  readonly threshold: number;
  readonly seed: number;
  readonly out: string;
  readonly engine: Engine;
  /** The ranks that measure together, in a folder that all of them see. */
  readonly group?: ProcessGroup;
  /** Measure a share of the parts, and write no report. */
  readonly shard?: Share | undefined;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
}

export interface DepthRun {
  readonly results: DepthResults;
  readonly files: readonly string[];
}

/**
 * Undefined where another process writes the report: of a shard, and of every rank but the first.
 *
 * Rejects with the signal's reason where it is aborted; what was measured until then is kept in `out`, and the same call goes on with it.
 */
export async function runDepth(options: DepthRunOptions): Promise<DepthRun | undefined> {
  const { preset, out, engine, io, signal, seed, setting, group = oneProcess, shard } = options;
  io.begin(`reading ${options.models.join(', ')} and ${options.data}`);
  const models = await openModels(options.models);
  const dataset = inClassesOfModel(await openDataset(options.data), models[0]?.model.classNames ?? [], options.data, (line) =>
    io.say(line),
  );
  for (const { network } of models) checkDataset(dataset, network, options.data);
  const split = dataset.split('test');
  const protocol = gridPresets[preset === 'original' ? 'coda2021' : preset];
  const planned = models.map((model) => plannedMethods(model, options));
  await mkdir(out, { recursive: true });
  await checkResultsFolder(out, models);
  const [height, width] = sizeOfAll(models);
  const limit = Math.min(options.limit ?? Math.max(1, Math.floor(MOST_NUMBERS / (3 * height * width))), split.length);
  const images = await imagesIn(split, 0, limit, [height, width]);
  const work: DepthWork = {
    engine,
    split,
    images,
    classNames: dataset.classNames,
    n: options.cells ?? protocol.n,
    grids: options.grids ?? protocol.count,
    threshold: protocol.threshold,
    scoring: protocol.scoring,
    smooth: smoothingOf(protocol, [height, width]),
    setting,
    removal: Math.min(options.removal ?? protocol.removal, split.length),
    depthThreshold: options.threshold,
    seed,
    parts: await storedParts(join(out, 'parts')),
    io,
    signal,
  };
  // the first rank draws them, the others find them
  if (group.rank > 0) await group.barrier('grids');
  const gridList = await drawGrids(models, work);
  if (group.rank === 0) await group.barrier('grids');
  await checkSameInRanks(group, planOf(models, planned, work, sha256Of(JSON.stringify(gridList))), 'analysis');
  const drawn = gridList.grids.length;
  const fewer =
    drawn < work.grids ? ` and not ${work.grids}: no more images are classified right with a probability above ${work.threshold}` : '';
  io.say(`${drawn} grids of ${work.n} × ${work.n}${fewer}`);
  const few = fewGrids(drawn, preset);
  if (few !== undefined) io.say(few);
  const share = shard ?? { index: group.rank, count: group.size };
  if (share.count > 1) {
    for (const [i, model] of models.entries()) await measureModel(model, planned[i] ?? [], gridList, { ...work, share });
    await group.barrier('parts');
  }
  if (shard !== undefined || group.rank > 0) return undefined;
  const measured = [];
  for (const [i, model] of models.entries()) measured.push(await measureModel(model, planned[i] ?? [], gridList, work));
  const results = parseConfig(
    depthResultsSchema,
    {
      schemaVersion: DEPTH_SCHEMA_VERSION,
      preset,
      setting,
      scoring: work.scoring,
      smooth: work.smooth,
      seed,
      data: dataRecord(dataset.name, split, images.shape[0] as number),
      versions: { coda: projectVersion, node: process.version, engine: engine.description },
      gridList: structuredClone(gridList) as DepthResults['gridList'],
      classNames: [...dataset.classNames],
      models: measured,
    } satisfies DepthResults,
    'results.json',
  );
  const examples = [];
  for (const [i, model] of models.entries()) {
    io.say(`${model.name}: examples`);
    examples.push(await depthExamples(model, planned[i] ?? [], measured[i] as (typeof measured)[number], gridList, work));
  }
  const files: string[] = [];
  const write = async (name: string, bytes: Uint8Array | string): Promise<void> => {
    files.push(join(out, name));
    await writeFileAtomic(join(out, name), bytes);
  };
  io.begin('drawing the report');
  const charts = depthCharts(results);
  await mkdir(join(out, 'figures'), { recursive: true });
  for (const chart of charts) {
    await write(`figures/${chart.id}.png`, await chartPng(chart));
    await write(`figures/${chart.id}.svg`, chart.svg);
  }
  for (const [i, all] of examples.entries()) {
    for (const { rank, picture } of all) await write(`figures/example-${i}-${rank}.png`, await encodePng(picture));
  }
  for (const [name, text] of Object.entries(depthTables(results))) await write(name, text);
  await write('report.html', await renderDepthReport({ results, charts, examples }));
  await write('results.json', `${JSON.stringify(results)}\n`);
  return { results, files };
}

function sha256Of(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What all ranks must have alike. */
function planOf(
  models: readonly DepthModel[],
  planned: readonly (readonly PlannedMethod[])[],
  work: DepthWork,
  gridList: string,
): JsonObject {
  const { engine, split, images, n, grids, threshold, scoring, smooth, setting, removal, depthThreshold, seed } = work;
  return {
    models: models.map(({ sha256 }) => sha256),
    data: split.fingerprint,
    limit: images.shape[0] as number,
    methods: planned.map((methods) =>
      methods.map(({ name, preset, taps, removalTaps }) => `${preset} ${name}: ${taps.join()} / ${removalTaps.join()}`),
    ),
    engine: engine.name,
    cells: n,
    grids,
    threshold,
    scoring,
    smooth,
    setting,
    removal,
    depthThreshold,
    seed,
    gridList,
  };
}

function dataRecord(name: string, { fingerprint }: ImageSplit, images: number): DepthResults['data'] {
  return { name, split: 'test', images, fingerprint };
}

/** Each called by its file, or by its path where two files have the same name. */
async function openModels(paths: readonly string[]): Promise<readonly DepthModel[]> {
  const models: DepthModel[] = [];
  const nameOf = (path: string): string => basename(path).replace(/\.safetensors$/, '');
  for (const path of paths) {
    const alone = paths.filter((other) => nameOf(other) === nameOf(path)).length === 1;
    const open = await openModel(path);
    const sha256 = sha256Of(await readFileBytes(path, { maxBytes: MAX_MODEL_BYTES }));
    models.push({ ...open, name: alone ? nameOf(path) : path, sha256 });
  }
  const twice = models.find(({ sha256 }, i) => models.findIndex((other) => other.sha256 === sha256) !== i);
  if (twice !== undefined) {
    throw new CodaError({ kind: 'argument', where: `depth: ${twice.path}`, problem: 'the same model is named twice' });
  }
  return models;
}

function plannedMethods(model: DepthModel, { methods, preset, probeAt, setting }: DepthRunOptions): readonly PlannedMethod[] {
  const { network } = model;
  const all = network.taps.map(({ name }) => name);
  const own = methodNames(preset)
    .map((name) => namedMethod(name, preset, 'depth: --methods'))
    .filter((one) => one.preset === preset);
  const chosen =
    methods === undefined
      ? own.filter(isOnePass)
      : methods.flatMap((name) => (name === 'all' ? own : [namedMethod(name, preset, 'depth: --methods')]));
  const cut = referenceTap(network);
  const probed = probeAt.includes('all') ? all : all.filter((tap) => probeAt.includes(tap) || (tap === cut && probeAt.includes('cut')));
  const unknown = probeAt.find((name) => name !== 'all' && name !== 'cut' && !all.includes(name));
  if (unknown !== undefined) {
    const nearest = nearestName(unknown, all);
    throw new CodaError({
      kind: 'argument',
      where: 'depth: --probe-at',
      problem: `${model.name} has no such tap`,
      expected: `all, cut, or some of ${all.join(', ')}`,
      got: JSON.stringify(unknown),
      hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
    });
  }
  const unique = chosen.filter(({ name }, i) => chosen.findIndex((other) => other.name === name) === i);
  return unique.map((method) => {
    const taps = isOnePass(method) ? all : probed;
    const removalTaps =
      setting === 'difull' ? [] : taps.filter((tap) => tap === 'input' || (tap === cut && network.taps.some(({ exact }) => exact)));
    return { ...method, taps, removalTaps };
  });
}

/** The one size of images that all models take: maps of the same grids are compared. */
function sizeOfAll(models: readonly DepthModel[]): readonly [height: number, width: number] {
  const [first] = models as readonly [DepthModel];
  const [height, width] = first.network.inputShape;
  for (const { name, network } of models) {
    if (network.inputShape[0] === height && network.inputShape[1] === width) continue;
    throw new CodaError({
      kind: 'mismatch',
      where: name,
      problem: 'takes images of another size than the first model, so that their grids cannot be the same',
      expected: `${height} × ${width}, as ${first.name}`,
      got: `${network.inputShape[0]} × ${network.inputShape[1]}`,
    });
  }
  return [height, width];
}
