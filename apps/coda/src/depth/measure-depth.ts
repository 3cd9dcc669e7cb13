/** The work of `coda depth` on one model: every method's profile over the same grids, and pixel removal, as the results file has them. */
import type { Network } from '@coda-nets/core';
import { interpretableDepth, summaryOf, type GridList, type TapProfile } from '@coda-nets/depth';
import type { MethodResult, ModelResult } from './depth-results.ts';
import { isPartial, type DepthModel, type DepthWork, type PlannedMethod } from './depth-work.ts';
import { measuredRemoval } from './measure-removal.ts';
import { measuredTaps } from './measure-taps.ts';
import { isOnePass } from './named-method.ts';

export async function measureModel(
  model: DepthModel,
  methods: readonly PlannedMethod[],
  gridList: GridList,
  work: DepthWork,
): Promise<ModelResult> {
  const { network, name, sha256 } = model;
  const profiles = await measuredTaps(model, methods, gridList, work);
  const results: MethodResult[] = [];
  for (const [i, planned] of methods.entries()) {
    const removal = await measuredRemoval(model, planned, work);
    if (isPartial(work)) continue;
    results.push(methodResult(planned, profiles[i] as readonly TapProfile[], removal, gridList, network, work));
  }
  const taps = network.taps.map(({ name: tap, channels, stride, exact }) => ({ name: tap, channels, stride, exact }));
  return { name, sha256, kind: network.config.kind, taps, methods: results };
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
