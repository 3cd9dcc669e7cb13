/** `coda setup tensorflow` */
import { gpuReport, planTensorFlow, removeTensorFlow, tensorFlowFolder, type TensorFlowPlan } from '@coda-nets/tensorflow-setup';
import { Command } from 'commander';
import { createInterface } from 'node:readline/promises';
import type { CommandIo } from '../command-io.ts';
import { defineCommand, ioOf, usageError, type CommonOptions } from '../define-command.ts';
import { Interrupted } from '../interrupted.ts';

interface Options extends CommonOptions {
  readonly gpu?: true;
  readonly version?: string;
  readonly from?: string;
  readonly to?: string;
  readonly yes?: true;
  readonly remove?: true;
}

export function setupCommand(): Command {
  const tensorflow = defineCommand(
    'tensorflow',
    'builds the binding of @tensorflow/tfjs-node(-gpu) against a modern TensorFlow; asks before it writes',
    'setup tensorflow --gpu',
  )
    .option('--gpu', 'for NVIDIA GPUs: TensorFlow with CUDA 12, and NVIDIA’s libraries')
    .option('--version <x.y.z>', 'of TensorFlow (default: 2.21.0)')
    .option('--from <path>', 'a wheel, an archive of libtensorflow, or a folder with the content of one (default: fetched with pip)')
    .option('--to <dir>', 'an installed @tensorflow/tfjs-node(-gpu), or a folder of its own (default: the cache of this machine)')
    .option('--yes', 'do not ask')
    .option('--remove', 'undo it')
    .action(async (options: Options) => {
      const io = ioOf(options);
      await (options.remove === true ? remove(options, io) : setUp(options, io));
    });
  return new Command('setup').description('optional parts of this machine').addCommand(tensorflow);
}

async function setUp(options: Options, io: CommandIo): Promise<void> {
  const plan = await planTensorFlow(options);
  for (const line of planLines(plan)) io.say(line);
  const { problem } = gpuReport();
  if (options.gpu === true && problem !== undefined)
    io.say(`No program could use a GPU here now: ${problem}. It can be set up before that is mended.`);
  if (!(await agreed(options, io, 'Go on?'))) return;
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const { folder, manifest } = await plan.carryOut({ onStep: (step) => io.say(`${step} …`), signal: controller.signal });
    io.say(`TensorFlow ${manifest.tensorflow} is in ${folder}. \`coda engines\` shows what it runs on; --engine tensorflow uses it.`);
    if (plan.target !== tensorFlowFolder() && plan.target !== folder) io.say(`To have it found: export CODA_TENSORFLOW=${plan.target}`);
    io.result({ folder, ...manifest });
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    io.say('interrupted: everything is as it was');
    throw new Interrupted();
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

async function remove(options: Options, io: CommandIo): Promise<void> {
  const target = options.to ?? tensorFlowFolder();
  const { removed, cleared } = await removeTensorFlow(target, () =>
    agreed(options, io, `Take away the TensorFlow that was set up in ${target}?`),
  );
  for (const folder of cleared) io.say(`Cleared away what a setup that was killed had left: ${folder}`);
  if (removed !== undefined) io.say(`TensorFlow ${removed.manifest.tensorflow} is gone from ${removed.folder}.`);
  io.result({ removed: removed?.folder ?? null, cleared });
}

function planLines({ steps, downloadBytes, peakBytes, keptBytes }: TensorFlowPlan): readonly string[] {
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
  return [
    'This will:',
    ...steps.map((step, i) => `  ${i + 1}. ${step}`),
    `It downloads ${gigabytes(downloadBytes)} and takes ${gigabytes(keptBytes)} of disk, ${gigabytes(peakBytes)} while it runs; --remove undoes it.`,
  ];
}

async function agreed({ yes }: Options, io: CommandIo, question: string): Promise<boolean> {
  if (yes === true) return true;
  if (!process.stdin.isTTY) throw usageError('setup tensorflow', 'it asks before it writes, and there is no terminal to ask on', '--yes');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return true;
    io.say('nothing was changed');
    return false;
  } finally {
    terminal.close();
  }
}
