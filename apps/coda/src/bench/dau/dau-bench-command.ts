/** `dau` among the benches: picks rows, starts the twins where there is a Python for them, prints. */
import { workNamed, type Bench } from '../bench.ts';
import { profileLines } from '../profile-table.ts';
import { dauBench } from './dau-bench.ts';
import { profileWork } from './dau-profile.ts';
import { reportLines } from './dau-report.ts';
import { dauWorks, presetNetworks, type BenchNetwork } from './dau-works.ts';
import { twinStarter } from './twins.ts';

export const dauBenchCommand: Bench = {
  name: 'dau',
  description: 'CoDA networks trained, run and explained, against PyTorch in the published and in our low-rank form',
  works: dauWorks.map(({ id }) => id),
  profiled: 'train-s',
  run: async (options) => {
    const { engines, threads, rounds, quick, seed, works, io, signal } = options;
    const chosen = works === undefined ? dauWorks : works.map((id) => workNamed(dauWorks, id, 'bench dau: --works'));
    const profiled = options.profile === undefined ? undefined : workNamed(dauWorks, options.profile, 'bench dau: --profile');
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
