/** `dau` among the benches: picks rows, starts the twins where there is a Python for them, prints. */
import { CodaError, nearestName } from '@coda-nets/core';
import type { Bench, BenchRun } from '../bench.ts';
import { profileLines } from '../profile-table.ts';
import { dauBench } from './dau-bench.ts';
import { profileWork } from './dau-profile.ts';
import { reportLines } from './dau-report.ts';
import { dauWorks, presetNetworks, type BenchNetwork, type DauWork } from './dau-works.ts';
import { startTwins, type Twins } from './twins.ts';

export const dauBenchCommand: Bench = {
  name: 'dau',
  description: 'CoDA networks trained, run and explained, against PyTorch in the published and in our low-rank form',
  run: async (options) => {
    const { engines, rounds, seed, works, io, signal } = options;
    const chosen = works === undefined ? dauWorks : works.map((id) => workOf(id, '--works'));
    const profiled = options.profile === undefined ? undefined : workOf(options.profile, '--profile');
    const python = options.python.kind === 'path' ? options.python.path : undefined;
    const start = await twinStarter(options);
    const result = await dauBench({
      engines,
      rounds,
      seed,
      io,
      signal,
      works: chosen,
      ...(start !== undefined && { startTwins: start }),
      ...(python !== undefined && { python }),
    });
    for (const line of reportLines(result)) io.say(line);
    if (profiled === undefined || signal.aborted) return result;
    const profile = await profileWork(profiled, presetNetworks[profiled.network] as BenchNetwork, { seed, calls: rounds });
    for (const line of ['', `profile of ${profiled.id} in ONNX Runtime:`, ...profileLines(profile)]) io.say(line);
    return { ...result, profile: { work: profiled.id, ...profile } };
  },
};

/** Nothing where no Python is wanted, or the default one has no torch; an error where the one that was asked for has none. */
async function twinStarter({ python, io }: BenchRun): Promise<((folder: string) => Promise<Twins>) | undefined> {
  if (python.kind === 'none') return undefined;
  const start = (folder: string): Promise<Twins> => startTwins(folder, python.kind === 'path' ? python.path : undefined);
  try {
    const twins = await start('');
    io.say(`twins: ${twins.description}`);
    await twins.close();
    return start;
  } catch (error) {
    if (!CodaError.isInstance(error) || python.kind === 'path') throw error;
    io.say(`twins: not measured. ${error.message}`);
    return undefined;
  }
}

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
