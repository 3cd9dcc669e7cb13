/** `coda train` */
import { CodaError } from '@coda-nets/core';
import { configToResume, openDataset, refuseRun } from '@coda-nets/train';
import type { Command } from 'commander';
import type { CommandIo } from '../command-io.ts';
import { defineCommand, engineOf, ioOf, usageError } from '../define-command.ts';
import { dryRunLines } from '../dry-run-lines.ts';
import { MEASURED_STEPS } from '../dry-run-steps.ts';
import { dryRun } from '../dry-run.ts';
import { Interrupted } from '../interrupted.ts';
import { inGroup, withGroupOptions, type GroupOptions, type Member } from '../in-group.ts';
import { interruptible } from '../interruptible.ts';
import { prepareTraining } from '../prepare-training.ts';
import { presetList } from '../preset-list.ts';
import { duration } from '../progress.ts';
import { trainPresets } from '../train-presets.ts';
import { trainRun, type TrainRunOptions } from '../train-run.ts';
import { neededData, overridesOf, resumeCall, withTrainingOptions, type TrainingOptions } from '../training-options.ts';

interface Options extends TrainingOptions, GroupOptions {
  readonly resume?: true;
  readonly dryRun?: true;
}

export function trainCommand(): Command {
  const command = defineCommand(
    'train',
    'trains a network in a run folder; an interrupted run goes on with --resume',
    'train hybrid-cifar10-resnet20 --data cifar10 --out runs/hybrid',
  ).argument('[preset]', `a config file (.json), or a preset: ${presetList(Object.keys(trainPresets))}; not needed with --resume`);
  return withGroupOptions(withTrainingOptions(command, 'the run folder').optionsGroup('Several processes (mpirun, srun):'))
    .optionsGroup('Before and after:')
    .option('--dry-run', `only say what it would be: steps, memory, disk, and the time from ${MEASURED_STEPS} measured steps`)
    .option('--resume', 'go on with the run in --out, which keeps all it was called with; with other --epochs it ends later or earlier')
    .action(async (preset: string | undefined, options: Options, self: Command) => {
      await inGroup(options, ioOf(options), (member) => trainIn(member, preset, options, self));
    });
}

async function trainIn({ group, io, threads }: Member, preset: string | undefined, options: Options, self: Command): Promise<void> {
  const isResumed = options.resume === true;
  if (preset === undefined && !isResumed) throw usageError('train', 'what to train is missing', 'a preset or a config file (.json)');
  const kept = isResumed ? (await configToResume(options.out)).data : undefined;
  const data = options.data ?? kept ?? (await neededData(options, preset, 'train'));
  io.begin(`reading ${data}`);
  const dataset = await openDataset(data);
  const engine = await engineOf(options, io, threads);
  await interruptible(async (signal) => {
    const run: TrainRunOptions = {
      ...options,
      preset,
      data,
      dataset,
      engine,
      io,
      group,
      signal,
      resume: isResumed,
      featureCacheFolder: options.featureCache,
      overrides: overridesOf(options, self),
    };
    await (options.dryRun === true ? tellPlan(run) : trainAndTell(run, () => resumeCall(self, options.out)));
  });
}

async function tellPlan(options: TrainRunOptions): Promise<void> {
  const { io, dataset, engine, workers, signal, out, group } = options;
  const prepared = await prepareTraining(options);
  const bar = io.progress('measuring', MEASURED_STEPS + 1, 'steps');
  const resumed = options.resume === true ? out : undefined;
  const plan = await dryRun({ ...prepared, dataset, engine, group, workers, resumed, signal, onStep: (done) => bar.update(done) }).finally(
    () => bar.stop(),
  );
  if (signal.aborted) throw new Interrupted();
  // rank 0 tells
  if (plan === undefined) return;
  if ('finished' in plan) {
    io.say(`the run in ${out} is finished, at step ${plan.step} of ${plan.totalSteps}: nothing is left to do.`);
    io.result({ dryRun: true, ...plan, engine: engine.name, config: prepared.config });
    return;
  }
  for (const line of dryRunLines(plan, prepared.config, out, new Date())) io.say(line);
  if (resumed === undefined) {
    await refuseRun(out).catch((error: unknown) => {
      if (!CodaError.isInstance(error)) throw error;
      io.say(`this training would be refused: ${error.message}`);
    });
  }
  io.result({ dryRun: true, ...plan, engine: engine.name, config: prepared.config });
}

async function trainAndTell(options: TrainRunOptions, resumeLine: () => string): Promise<void> {
  const { io, out } = options;
  const { step, totalSteps, seconds, finished, validation, bad, waiting } = await trainRun(options);
  io.result({ out, finished, step, totalSteps, seconds, validation, waiting, bad });
  tellBad(bad, io);
  if (!finished) {
    const saved = step === 0 ? 'nothing trained yet' : `saved at step ${step} of ${totalSteps} after ${duration(seconds)}`;
    io.say(`interrupted, ${saved}; go on with: ${resumeLine()}`);
    throw new Interrupted();
  }
  const accuracy = validation === undefined ? '' : `, validation accuracy ${(100 * validation.top1).toFixed(2)} %`;
  io.say(`finished: step ${step} of ${totalSteps}, ${duration(seconds)}${accuracy}`);
  io.say(`model: ${out}/last.safetensors; report: ${out}/report.html`);
}

function tellBad(bad: readonly (readonly [file: string, reason: string])[], io: CommandIo): void {
  if (bad.length === 0) return;
  io.say(`${bad.length} images could not be read:\n${bad.map(([file, reason]) => `  ${file}: ${reason}`).join('\n')}`);
}
