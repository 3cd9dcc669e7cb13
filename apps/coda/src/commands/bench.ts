/** `coda bench` */
import { CodaError, nearestName, type Engine } from '@coda-nets/core';
import { resolveEngine } from '@coda-nets/engine';
import type { Command } from 'commander';
import { availableParallelism, cpus } from 'node:os';
import type { Bench, BenchRun } from '../bench/bench.ts';
import { benches } from '../bench/benches.ts';
import type { CommandIo } from '../command-io.ts';
import { defineCommand, ioOf, nameList, wholeNumber, type CommonOptions } from '../define-command.ts';

/** Medians of so many rounds. */
const ROUNDS = 7;
const QUICK_ROUNDS = 3;

interface Options extends CommonOptions {
  readonly quick?: true;
  readonly threads?: number;
  readonly works?: readonly string[];
  readonly python?: string;
  readonly torchDevice: string;
  readonly twins: boolean;
  readonly profile?: string | true;
}

export function benchCommand(): Command {
  return defineCommand(
    'bench',
    'the benches; ratios against the reference where Python with torch is present',
    'bench dau --python venv/bin/python',
  )
    .argument('[name...]', `which benches (default: all): ${benches.map(({ name, description }) => `${name} (${description})`).join(', ')}`)
    .option('--quick', `medians of ${QUICK_ROUNDS} rounds, not of ${ROUNDS}, and without what takes minutes`)
    .option('--threads <n>', 'threads of every contender (default: every core)', wholeNumber(1))
    .option('--works <names>', 'only these rows, between commas', nameList)
    .option('--python <path>', 'the Python with torch that runs the reference (default: CODA_PYTHON, else python3)')
    .option('--torch-device <name>', 'where the reference computes, as PyTorch names it: cuda, mps', 'cpu')
    .option('--no-twins', 'measure ours alone')
    .option('--profile [work]', 'also print where time goes, node by node (default: the first row)')
    .action(async (names: readonly string[], options: Options) => {
      const io = ioOf(options);
      const chosen = names.length === 0 ? benches : names.map(benchNamed);
      const controller = new AbortController();
      const stop = (): void => controller.abort();
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
      try {
        const run: BenchRun = {
          engines: await enginesOf(options, io),
          threads: options.threads ?? availableParallelism(),
          python: !options.twins
            ? { kind: 'none' }
            : options.python === undefined
              ? { kind: 'default' }
              : { kind: 'path', path: options.python },
          torchDevice: options.torchDevice,
          rounds: options.quick === true ? QUICK_ROUNDS : ROUNDS,
          quick: options.quick === true,
          seed: options.seed,
          io,
          signal: controller.signal,
        };
        const machine = { processor: cpus()[0]?.model ?? '', processors: availableParallelism(), node: process.version };
        io.say(`machine: ${machine.processor}, ${machine.processors} processors, Node ${machine.node}`);
        const results: Record<string, object> = {};
        for (const bench of chosen) {
          const own = rowsOf(bench, chosen, options);
          if (own.works?.length === 0) continue;
          const result = await bench.run({ ...run, ...own });
          results[bench.name] = result;
          if (!result.finished) {
            io.say('interrupted: what is printed was measured before');
            process.exitCode = 1;
            break;
          }
        }
        io.result({ machine, engines: run.engines.map(({ name, description }) => ({ name, description })), ...results });
      } finally {
        process.off('SIGINT', stop);
        process.off('SIGTERM', stop);
      }
    });
}

/** What `--works` and `--profile` mean for one of the chosen benches; a name that no bench has is for each of them to refuse. */
function rowsOf(bench: Bench, chosen: readonly Bench[], { works, profile }: Options): Pick<BenchRun, 'works' | 'profile'> {
  const isOther = (id: string): boolean => !bench.works.includes(id) && chosen.some((other) => other.works.includes(id));
  const named = profile === true ? bench.profiled : profile;
  return {
    ...(works !== undefined && { works: works.filter((id) => !isOther(id)) }),
    ...(named !== undefined && !isOther(named) && { profile: named }),
  };
}

/** The one that is asked for; else ONNX Runtime or what is fastest, and TensorFlow where it is. */
async function enginesOf({ engine: wanted, threads }: Options, io: CommandIo): Promise<readonly Engine[]> {
  const threadOptions = threads === undefined ? {} : { threads };
  const { engine: first, reason } = await resolveEngine(wanted, threadOptions);
  io.say(`engine: ${first.name} (${first.description}), ${reason}`);
  if (wanted !== undefined || first.name === 'tensorflow') return [first];
  try {
    const { engine } = await resolveEngine('tensorflow', threadOptions);
    io.say(`engine: ${engine.name} (${engine.description}), measured too`);
    return [first, engine];
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    io.say(`engine: tensorflow is not measured: ${error.problem}`);
    return [first];
  }
}

function benchNamed(name: string): Bench {
  const bench = benches.find((candidate) => candidate.name === name);
  if (bench !== undefined) return bench;
  const all = benches.map((candidate) => candidate.name);
  const nearest = nearestName(name, all);
  throw new CodaError({
    kind: 'argument',
    where: 'bench',
    problem: 'no bench of that name',
    expected: all.join(', '),
    got: name,
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}
