/** The end of an epoch: it is measured, written down, and saved. What is measured is `measure-epoch.ts`. */
import { CodaError, oneProcess } from '@coda-nets/core';
import type { KeptFeatures } from './kept-features.ts';
import { measureEpoch, stopMetric, type EpochContext } from './measure-epoch.ts';
import type { RunWriter } from './run-writer.ts';
import { nextPatience } from './patience.ts';
import type { TrainingRun } from './training-run.ts';
import { noSums, rounded } from './training-sums.ts';

/** The weights are finite, and so was the loss of every step. */
const statisticsAdvice =
  'Trained with it was still finite, so the running statistics of batch norm, which only validation uses, can be the cause: try a larger batch or a lower learning rate, in a new folder.';

/** Validation, the epoch's line, the models, a checkpoint. False where it was ended early: it is then done on resume. */
export async function endEpoch(run: TrainingRun, writer: RunWriter, features: KeptFeatures): Promise<boolean> {
  const weights = await writer.shownWeights();
  const measured = await measureEpoch(contextOf(run, writer, features), run.state, weights).catch(async (error: unknown) => {
    if (!CodaError.isInstance(error) || error.kind !== 'numeric') throw error;
    throw await writer.numericStop(run.state.step, `what was measured after the step is not finite: ${error.message}`, statisticsAdvice);
  });
  if (measured === undefined) return false;
  const { epoch, score, stopScore, isBest, validation, alignment, training } = measured;
  const { state, config } = run;
  const patience = stopScore === undefined ? state.patience : nextPatience(state.patience, epoch, stopScore);
  const stopped = config.earlyStop !== undefined && patience !== null && patience.since >= config.earlyStop.patience;
  run.state = {
    ...state,
    epochEndPending: false,
    epoch: noSums,
    best: isBest && score !== undefined ? { epoch, score } : state.best,
    patience,
    stopped,
    validation: validation === undefined ? state.validation : { loss: validation.loss, top1: validation.top1, top5: validation.top5 },
  };
  await writer.folder.log({
    type: 'epoch',
    step: state.step,
    epoch,
    ...training,
    ...(validation && { validationLoss: validation.loss, validationAccuracy: validation.top1, validationTop5: validation.top5 }),
    ...(alignment && { alignment }),
    seconds: rounded(run.clock.seconds),
  });
  const { options, splits } = run;
  await options.atEpochEnd?.({ epoch, step: state.step, weights, split: splits.validation ?? splits.train, run: writer.folder });
  if (isBest) await writer.model(writer.folder.best);
  await writer.model(writer.folder.last);
  await writer.checkpoint();
  const { epochs } = config;
  run.options.onEvent?.({ type: 'epoch', epoch, epochs, step: state.step, ...training, validation, alignment, isBest });
  if (stopped) {
    const message = `Stopped after epoch ${epoch}: ${stopMetric(config)} was best after epoch ${patience.epoch}, ${patience.since} measured epochs ago.`;
    run.options.onEvent?.({ type: 'notice', message });
  }
  return true;
}

function contextOf(run: TrainingRun, writer: RunWriter, features: KeptFeatures): EpochContext {
  const { options, config, maker, recipe, sampler, splits } = run;
  const { network, engine, signal, onEvent } = options;
  return {
    network,
    engine,
    config,
    maker,
    recipe,
    signal,
    onEvent,
    batchesPerEpoch: sampler.batchesPerEpoch,
    train: { split: splits.train, features: features.train },
    validation: splits.validation && { split: splits.validation, features: features.validation },
    group: options.group ?? oneProcess,
    noteBad: (bad) => writer.noteAllBad(bad),
  };
}
