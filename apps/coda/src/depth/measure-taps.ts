/**
 * The profile of each method over the same grids, in parts that are stored as they are done; results do not depend on the parts. What is missing of
 * the one-pass methods is measured together, in the passes of one; methods that probe take one tap after another.
 */
import type { JsonObject } from '@coda-nets/core';
import { depthProfiler, joinTapProfiles, jointDepthProfiler, type GridList, type OnePassMethod, type TapProfile } from '@coda-nets/depth';
import { isOf, wholeWork } from '@coda-nets/train';
import { isPartial, keyOf, shortened, type DepthModel, type DepthWork, type PlannedMethod } from './depth-work.ts';
import { isOnePass } from './named-method.ts';

/** Grids of one part: some seconds of a method with one pass, and of the others some minutes. */
const GRIDS_A_PART = { onePass: 10, probing: 1 } as const;

/** For each method, in their order, the profile at its taps. */
export async function measuredTaps(
  model: DepthModel,
  methods: readonly PlannedMethod[],
  gridList: GridList,
  work: DepthWork,
): Promise<readonly (readonly TapProfile[])[]> {
  const together = methods.filter(isOnePass);
  const joint =
    together.length === 0 ? [] : await measuredParts(model, { methods: together, taps: together[0]?.taps ?? [] }, gridList, work);
  const profiles: (readonly TapProfile[])[] = [];
  for (const method of methods) {
    if (isOnePass(method)) {
      profiles.push(joint[together.indexOf(method)] as readonly TapProfile[]);
      continue;
    }
    const taps: TapProfile[] = [];
    for (const tap of method.taps) {
      const [profile] = await measuredParts(model, { methods: [method], taps: [tap] }, gridList, work);
      taps.push(...(profile as readonly TapProfile[]));
    }
    profiles.push(taps);
  }
  return profiles;
}

/** Methods of one kind, at the same taps. */
interface Measured {
  readonly methods: readonly PlannedMethod[];
  readonly taps: readonly string[];
}

async function measuredParts(
  model: DepthModel,
  { methods, taps }: Measured,
  gridList: GridList,
  work: DepthWork,
): Promise<readonly (readonly TapProfile[])[]> {
  const { setting, smooth, parts, io } = work;
  const { grids } = gridList;
  const onePass = methods.every(isOnePass);
  const size = onePass ? GRIDS_A_PART.onePass : GRIDS_A_PART.probing;
  const label = `${model.name}, ${methods.map(({ name }) => name).join(', ')}${onePass ? '' : ` at ${taps.join()}`}`;
  const bar = io.progress(label, grids.length, 'grids');
  let start = 0;
  const profilers = lastProfiler(model, taps, work, (share) => bar.update(start + share));
  const done = methods.map((): (readonly TapProfile[])[] => []);
  try {
    for (; start < grids.length; start += size) {
      if (!isOf(work.share ?? wholeWork, start / size)) continue;
      const part = grids.slice(start, start + size);
      const keyFor = (method: PlannedMethod): JsonObject => ({
        part: 'grids of a method',
        ...keyOf(model, method, work),
        taps,
        setting,
        smooth,
        grids: part as never,
      });
      const known = new Map<PlannedMethod, readonly TapProfile[]>();
      for (const method of methods) {
        const found = await parts.find<readonly TapProfile[]>(keyFor(method), (value) =>
          isProfileOf(value, taps, part.length * gridList.n ** 2),
        );
        if (found !== undefined) known.set(method, found);
      }
      const missing = methods.filter((method) => !known.has(method));
      if (missing.length > 0) {
        const profiler = await profilers.of(missing, () => bar.update(start, 'compiling'));
        bar.update(start);
        const measured = await profiler.measure(part, (grid) => bar.update(start + grid));
        for (const [i, method] of missing.entries()) {
          const value = (measured[i] as readonly TapProfile[]).map(rounded);
          // over a damaged one too, which is of the same key
          await parts.store(keyFor(method), value);
          known.set(method, value);
        }
      }
      for (const [i, method] of methods.entries()) done[i]?.push(known.get(method) as readonly TapProfile[]);
    }
    bar.update(grids.length);
  } finally {
    bar.stop();
    await profilers.dispose();
  }
  return isPartial(work) ? done.map(() => []) : done.map(joinTapProfiles);
}

interface Profiler {
  measure(grids: GridList['grids'], onGrid: (done: number) => void): Promise<readonly (readonly TapProfile[])[]>;
  dispose(): Promise<void>;
}

/** Compiles for the methods that are asked for, and keeps that until others are. `onShare`: of a grid, where each is a part. */
function lastProfiler(
  { network, model: { weights } }: DepthModel,
  taps: readonly string[],
  { engine, images, n, setting, smooth, signal }: DepthWork,
  onShare: (share: number) => void,
): { of(methods: readonly PlannedMethod[], onCompile: () => void): Promise<Profiler>; dispose(): Promise<void> } {
  const options = { engine, network, weights, images, n, taps, setting, smooth, signal };
  let last: { readonly names: string; readonly profiler: Profiler } | undefined;
  const dispose = async (): Promise<void> => {
    await last?.profiler.dispose();
    last = undefined;
  };
  const compiled = async (methods: readonly PlannedMethod[]): Promise<Profiler> => {
    if (methods.every(isOnePass)) {
      return jointDepthProfiler({ ...options, methods: methods.map(({ method }) => method as OnePassMethod) });
    }
    const [{ method }] = methods as readonly [PlannedMethod];
    const one = await depthProfiler({ ...options, method, onShare });
    return { measure: async (grids, onGrid) => [await one.measure(grids, onGrid)], dispose: () => one.dispose() };
  };
  return {
    of: async (methods, onCompile) => {
      const names = methods.map(({ name }) => name).join();
      if (last?.names !== names) {
        onCompile();
        await dispose();
        last = { names, profiler: await compiled(methods) };
      }
      return last.profiler;
    },
    dispose,
  };
}

/** Whether a stored value has so many numbers for each of the taps. */
function isProfileOf(value: readonly TapProfile[], taps: readonly string[], count: number): boolean {
  const whole = (values: readonly unknown[]): boolean => values.length === count && values.every((x) => typeof x === 'number');
  return (
    value.map(({ name }) => name).join() === taps.join() &&
    value.every(({ localisation: { pool, upsample }, residual, negativeMass }) => {
      return (pool === null || whole(pool)) && [upsample, residual, negativeMass].every(whole);
    })
  );
}

function rounded({ localisation: { pool, upsample }, ...tap }: TapProfile): TapProfile {
  return {
    ...tap,
    localisation: { pool: pool?.map(shortened) ?? null, upsample: upsample.map(shortened) },
    residual: tap.residual.map(shortened),
    negativeMass: tap.negativeMass.map(shortened),
  };
}
