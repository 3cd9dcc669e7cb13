/** Whether a training's config fits its network and data: what its schema cannot see. Before anything is computed. */
import { CodaError, type Network } from '@coda-nets/core';
import { needsValidation, type MetricName } from './metrics.ts';
import { checkPattern } from './name-patterns.ts';
import { residualBranches } from './stochastic-depth.ts';
import type { TrainConfig } from './train-config.ts';
import type { Splits } from './train-start.ts';

const defaultExcept: ReadonlySet<string> = new Set(['fc.*']);

/** Throws a CodaError that names the key. */
export function checkRecipe(network: Network, config: TrainConfig, { train, validation }: Splits): void {
  const { accumulate, batch, clip, groups, stochasticDepth } = config;
  const names = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
  for (const [i, group] of groups.entries()) checkPattern(group.names, names, `train: config: groups[${i}].names`);
  // the default of `except` is meant for any network
  const except = clip?.kind === 'adaptive' ? clip.except.filter((pattern) => !defaultExcept.has(pattern)) : [];
  for (const [i, pattern] of except.entries()) checkPattern(pattern, names, `train: config: clip.except[${i}]`);
  if (stochasticDepth > 0) residualBranches(network);
  if (accumulate * batch > train.length) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: accumulate',
      problem: 'there are too few training images for one update',
      expected: `at most ${Math.floor(train.length / batch)} batches of ${batch}`,
      got: String(accumulate),
    });
  }
  if (validation === undefined) {
    checkMetric('bestBy', config.bestBy);
    checkMetric('earlyStop.metric', config.earlyStop?.metric);
  }
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
