/** `engine` among the benches: picks rows, starts PyTorch where there is a Python for it, prints. */
import { CodaError, type Engine } from '@coda-nets/core';
import { resolveEngine } from '@coda-nets/engine';
import { workNamed, type Bench, type BenchRun } from '../bench.ts';
import { eagerBench, eagerLines, type EagerRow } from '../eager/eager-bench.ts';
import { eagerWorks, type EagerWork } from '../eager/eager-works.ts';
import { profileLines } from '../profile-table.ts';
import { torchStarter } from '../torch-worker.ts';
import { engineBench } from './engine-bench.ts';
import { profileWork } from './engine-profile.ts';
import { reportLines } from './engine-report.ts';
import { engineNetworks, engineWorks, type EngineNetwork, type EngineWork } from './engine-works.ts';
import { startTorchTwin } from './torch-twin.ts';

export const engineBenchCommand: Bench = {
  name: 'engine',
  description: 'ResNets run, trained, started and loaded, against PyTorch; training on TensorFlow, against tfjs-node alone',
  works: [...engineWorks, ...eagerWorks].map(({ id }) => id),
  profiled: 'forward-50-1',
  run: async (options) => {
    const { threads, rounds, seed, works, io, signal } = options;
    const all = works?.map((id) => workNamed([...engineWorks, ...eagerWorks], id, 'bench engine: --works').id);
    const [chosen, onTensorFlow] = [engineWorks, eagerWorks].map((some) => some.filter(({ id }) => all?.includes(id) ?? true)) as [
      EngineWork[],
      EagerWork[],
    ];
    const profiled = options.profile === undefined ? undefined : workNamed(engineWorks, options.profile, 'bench engine: --profile');
    const rowsOnTensorFlow = await tensorFlowRows(options, onTensorFlow);
    if (chosen.length === 0) return { finished: !signal.aborted, eager: rowsOnTensorFlow };
    const startTwin = await torchStarter(options, (folder, python) =>
      startTorchTwin(folder, { threads, device: options.torchDevice, python }),
    );
    const eager = await eagerEngine(options);
    const result = await engineBench({ engines: options.engines, eager, threads, rounds, seed, io, signal, works: chosen, startTwin });
    for (const line of reportLines(result)) io.say(line);
    if (profiled === undefined || signal.aborted) return { ...result, eager: rowsOnTensorFlow };
    const profile = await profileWork(profiled, engineNetworks[profiled.network] as EngineNetwork, { seed, threads, calls: rounds });
    for (const line of ['', `profile of ${profiled.id} in ONNX Runtime:`, ...profileLines(profile)]) io.say(line);
    return { ...result, eager: rowsOnTensorFlow, profile: { work: profiled.id, ...profile } };
  },
};

async function tensorFlowRows({ engines, rounds, seed, io, signal }: BenchRun, works: readonly EagerWork[]): Promise<readonly EagerRow[]> {
  const engine = engines.find(({ name }) => name === 'tensorflow');
  if (engine === undefined || works.length === 0) return [];
  const rows = await eagerBench({ engine, works, rounds, seed, io, signal });
  for (const line of eagerLines(rows)) io.say(line);
  return rows;
}

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
