/** `dau` among the benches: picks rows, starts the twins where there is a Python for them, prints. */
import { CodaError, nearestName } from '@coda-nets/core';
import type { Bench } from '../bench.ts';
import { profileLines } from '../profile-table.ts';
import { dauBench } from './dau-bench.ts';
import { profileWork } from './dau-profile.ts';
import { reportLines } from './dau-report.ts';
import { dauWorks, presetNetworks, type BenchNetwork, type DauWork } from './dau-works.ts';
import { twinStarter } from './twins.ts';

export const dauBenchCommand: Bench = {
  name: 'dau',
  description: 'CoDA networks trained, run and explained, against PyTorch in the published and in our low-rank form',
  run: async (options) => {
    const { engines, threads, rounds, quick, seed, works, io, signal } = options;
    const chosen = works === undefined ? dauWorks : works.map((id) => workOf(id, '--works'));
    const profiled = options.profile === undefined ? undefined : workOf(options.profile, '--profile');
    const start = await twinStarter(options);
    const result = await dauBench({
      engines,
      threads,
      rounds,
      tapByTap: !quick,
      seed,
      io,
      signal,
      works: chosen,
      ...(start !== undefined && { startTwins: start }),
    });
    for (const line of reportLines(result)) io.say(line);
    if (profiled === undefined || signal.aborted) return result;
    const profile = await profileWork(profiled, presetNetworks[profiled.network] as BenchNetwork, { seed, threads, calls: rounds });
    for (const line of ['', `profile of ${profiled.id} in ONNX Runtime:`, ...profileLines(profile)]) io.say(line);
    return { ...result, profile: { work: profiled.id, ...profile } };
  },
};

function workOf(id: string, where: string): DauWork {
  const work = dauWorks.find((candidate) => candidate.id === id);
  if (work !== undefined) return work;
  const ids = dauWorks.map((candidate) => candidate.id);
  const nearest = nearestName(id, ids);
  throw new CodaError({
    kind: 'argument',
    where: `bench dau: ${where}`,
    problem: 'no piece of work of that name',
    expected: ids.join(', '),
    got: id,
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}
