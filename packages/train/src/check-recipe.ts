/** Whether a training's config fits its network and data: what its schema cannot see. Before anything is computed. */
import { checkAll, CodaError, type Network } from '@coda-nets/core';
import { needsValidation, type MetricName } from './metrics.ts';
import { checkPattern } from './name-patterns.ts';
import { residualBranches } from './stochastic-depth.ts';
import type { TrainConfig } from './train-config.ts';
import type { Splits } from './train-start.ts';

const defaultExcept: ReadonlySet<string> = new Set(['fc.*']);

/** Throws a CodaError that names the key, or all of them where several are wrong. */
export function checkRecipe(network: Network, config: TrainConfig, { train, validation }: Splits): void {
  const { clip, groups, stochasticDepth } = config;
  const names = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
  // the default of `except` is meant for any network
  const except = clip?.kind === 'adaptive' ? clip.except.filter((pattern) => !defaultExcept.has(pattern)) : [];
  const isMeasured = validation !== undefined;
  checkAll('train: config', [
    ...groups.map((group, i) => () => checkPattern(group.names, names, `train: config: groups[${i}].names`)),
    ...except.map((pattern, i) => () => checkPattern(pattern, names, `train: config: clip.except[${i}]`)),
    () => void (stochasticDepth > 0 && residualBranches(network)),
    () => checkAccumulate(config, train.length),
    () => isMeasured || checkMetric('bestBy', config.bestBy),
    () => isMeasured || checkMetric('earlyStop.metric', config.earlyStop?.metric),
  ]);
}

function checkAccumulate({ accumulate, batch }: TrainConfig, images: number): void {
  if (accumulate * batch <= images) return;
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: accumulate',
    problem: 'there are too few training images for one update',
    expected: `at most ${Math.floor(images / batch)} batches of ${batch}`,
    got: String(accumulate),
  });
}

function checkMetric(key: string, metric: MetricName | undefined): void {
  if (metric === undefined || !needsValidation(metric)) return;
  throw new CodaError({
    kind: 'argument',
    where: `train: config: ${key}`,
    problem: 'there is no validation that would measure it',
    expected: '"trainLoss" or "trainAccuracy", or a `validation`',
    got: JSON.stringify(metric),
  });
}
