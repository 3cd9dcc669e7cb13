/** `engine` among the benches: picks rows, starts PyTorch where there is a Python for it, prints. */
import { CodaError, type Engine } from '@coda-nets/core';
import { resolveEngine } from '@coda-nets/engine';
import { workNamed, type Bench, type BenchRun } from '../bench.ts';
import { profileLines } from '../profile-table.ts';
import { torchStarter } from '../torch-worker.ts';
import { engineBench } from './engine-bench.ts';
import { profileWork } from './engine-profile.ts';
import { reportLines } from './engine-report.ts';
import { engineNetworks, engineWorks, type EngineNetwork } from './engine-works.ts';
import { startTorchTwin } from './torch-twin.ts';

export const engineBenchCommand: Bench = {
  name: 'engine',
  description: 'ResNets run, trained, started and loaded, against PyTorch',
  works: engineWorks.map(({ id }) => id),
  profiled: 'forward-50-1',
  run: async (options) => {
    const { threads, rounds, seed, works, io, signal } = options;
    const chosen = works === undefined ? engineWorks : works.map((id) => workNamed(engineWorks, id, 'bench engine: --works'));
    const profiled = options.profile === undefined ? undefined : workNamed(engineWorks, options.profile, 'bench engine: --profile');
    const startTwin = await torchStarter(options, (folder, python) =>
      startTorchTwin(folder, { threads, device: options.torchDevice, python }),
    );
    const eager = await eagerEngine(options);
    const result = await engineBench({ engines: options.engines, eager, threads, rounds, seed, io, signal, works: chosen, startTwin });
    for (const line of reportLines(result)) io.say(line);
    if (profiled === undefined || signal.aborted) return result;
    const profile = await profileWork(profiled, engineNetworks[profiled.network] as EngineNetwork, { seed, threads, calls: rounds });
    for (const line of ['', `profile of ${profiled.id} in ONNX Runtime:`, ...profileLines(profile)]) io.say(line);
    return { ...result, profile: { work: profiled.id, ...profile } };
  },
};

/** Eager TensorFlow.js in WebAssembly, beside compiled engines; not in a quick run. */
async function eagerEngine({ engines, threads, quick, io }: BenchRun): Promise<Engine | undefined> {
  if (quick || engines.some(({ name }) => name === 'wasm')) return undefined;
  try {
    return (await resolveEngine('wasm', { threads })).engine;
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    io.say(`engine: wasm is not measured: ${error.problem}`);
    return undefined;
  }
}
