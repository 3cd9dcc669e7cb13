/** Writes a run as it is after a step: its checkpoints, its models, the images it could not read. Decides nothing: when is the loop's business. */
import type { CodaError, Compiled, NamedArrays } from '@coda-nets/core';
import { carriedValues, type RunValues } from './carried-values.ts';
import { writeCheckpoint } from './checkpoint.ts';
import type { MadeBatch } from './data/make-batch.ts';
import { numericStop } from './numeric-stop.ts';
import type { RunFolder } from './run-folder.ts';
import { writeRunModel } from './run-model.ts';
import type { TrainingRun } from './training-run.ts';
import { averagedWeights } from './weight-average.ts';

export class RunWriter {
  readonly folder: RunFolder;
  readonly #run: TrainingRun;
  readonly #compiled: Compiled;
  readonly #start: RunValues;
  #current: RunValues | undefined;
  #batch: NamedArrays = {};
  #saved = performance.now();
  #savedStep: number;

  constructor(run: TrainingRun, folder: RunFolder, compiled: Compiled, start: RunValues, savedStep: number) {
    this.#run = run;
    this.folder = folder;
    this.#compiled = compiled;
    this.#start = start;
    this.#savedStep = savedStep;
  }

  /** Of the last checkpoint; −1: there is none. */
  get savedStep(): number {
    return this.#savedStep;
  }

  /** Since the last checkpoint, or since this part of the run began. */
  get secondsSinceSaved(): number {
    return (performance.now() - this.#saved) / 1000;
  }

  /** To be called where a step begins with what it is fed: the values will be others. */
  stepBegins(batch: NamedArrays): void {
    this.#current = undefined;
    this.#batch = batch;
  }

  /** Weights and slots as they are now, fetched once a step. Throws where one is not finite. */
  async values(): Promise<RunValues> {
    if (this.#current !== undefined) return this.#current;
    const { values, notFinite } = await carriedValues(this.#compiled, this.#start);
    if (notFinite !== undefined) throw await this.numericStop(this.#run.state.step, `${JSON.stringify(notFinite)} is no longer finite`);
    return (this.#current = values);
  }

  /** What is measured and written as a model: the weights, or their average where there is one. */
  async shownWeights(): Promise<NamedArrays> {
    const { weights, slots } = await this.values();
    return averagedWeights(weights, slots);
  }

  /** The error for numbers of this step that are of no use; its batch is kept in the run folder. */
  numericStop(step: number, problem: string, advice?: string): Promise<CodaError> {
    return numericStop(this.folder, step, problem, this.#batch, advice);
  }

  async checkpoint(): Promise<void> {
    const { state, badImages, clock, options } = this.#run;
    this.#saved = performance.now();
    this.#savedStep = state.step;
    if (this.folder.isSilent) return;
    const { weights, slots } = await this.values();
    await this.folder.flush();
    const path = await writeCheckpoint(this.folder.checkpoints, {
      state: { ...state, bad: badImages.list.map(([file, reason]) => [file, reason]), seconds: clock.seconds },
      weights,
      slots,
    });
    this.#saved = performance.now();
    options.onEvent?.({ type: 'checkpoint', step: state.step, path });
  }

  async model(path: string): Promise<void> {
    if (this.folder.isSilent) return;
    const { options, config, state } = this.#run;
    const { network, dataset, engine, preprocessing } = options;
    const weights = await this.shownWeights();
    await writeRunModel(path, weights, { network, dataset, engine, config, state, preprocessing });
  }

  /** Tells of images that were not told of before. Throws where there are too many. */
  async noteBad({ bad, labels }: Pick<MadeBatch, 'bad' | 'labels'>, step: number, isTold = true): Promise<void> {
    if (bad.length === 0) return;
    const { badImages, options } = this.#run;
    for (const { file, reason } of badImages.add({ bad, labels })) {
      await this.folder.log({ type: 'bad-image', step, file, reason });
      if (isTold) options.onEvent?.({ type: 'bad-image', file, reason, count: badImages.count });
    }
  }

  /** The same of images that are no batch, and that all ranks know of. */
  noteAllBad(bad: MadeBatch['bad'] | undefined): Promise<void> {
    const { state, options } = this.#run;
    return this.noteBad({ bad: bad ?? [], labels: new Int32Array(0) }, state.step, (options.group?.rank ?? 0) === 0);
  }
}
