/** Draws a training's events: a bar for features, for steps and for validation, and a line an epoch. */
import type { TrainEvent } from '@coda-nets/train';
import type { CommandIo } from './command-io.ts';
import type { Progress } from './progress.ts';

export function trainBars(io: CommandIo): { onEvent: (event: TrainEvent) => void; stop: () => void } {
  let bar: Progress | undefined;
  let shown = '';
  const show = (label: string, total: number, unit: string): Progress => {
    if (shown === label && bar !== undefined) return bar;
    bar?.stop();
    shown = label;
    bar = io.progress(label, total, unit);
    return bar;
  };
  return {
    onEvent: (event) => {
      if (event.type === 'compile') io.begin('compiling the training step');
      if (event.type === 'features') show(`features (${event.split})`, event.total, 'images').update(event.done);
      if (event.type === 'step')
        show('training', event.totalSteps, 'steps').update(
          event.step,
          `loss ${event.loss.toFixed(4)}, ${event.imagesPerSecond.toFixed(0)} images/s`,
        );
      if (event.type === 'validation') show('validation', event.total, 'images').update(event.done);
      if (event.type === 'notice') io.say(event.message);
      if (event.type === 'bad-image') io.say(`left out: ${event.file}: ${event.reason}`);
      if (event.type === 'epoch') {
        bar?.stop();
        bar = undefined;
        const held = event.validation === undefined ? '' : `, validation accuracy ${(100 * event.validation.top1).toFixed(2)} %`;
        io.say(
          `epoch ${event.epoch}/${event.epochs}: loss ${event.trainLoss.toFixed(4)}, accuracy ${(100 * event.trainAccuracy).toFixed(2)} %${held}`,
        );
      }
    },
    stop: () => bar?.stop(),
  };
}
