/** A dry run for people, a line for each thing. */
import type { TrainConfig } from '@coda-nets/train';
import { codaCommand } from './coda-command.ts';
import type { DryRun } from './dry-run.ts';
import { bytesText } from './network-cost.ts';
import { duration } from './progress.ts';

export function dryRunLines(run: DryRun, config: TrainConfig, out: string, now: Date): readonly string[] {
  const { network, trainImages, validationImages, stepsPerEpoch, epochs, totalSteps, step } = run;
  const number = (x: number): string => x.toLocaleString('en');
  const shown = (seconds: number): string => (seconds < 10 ? `${seconds.toPrecision(2)} s` : duration(seconds));
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const validated = validationImages === 0 ? 'no validation' : `${number(validationImages)} validation images`;
  const parts = [
    ...(run.featureSeconds > 0 ? [`features ${shown(run.featureSeconds)}`] : []),
    `steps ${shown((totalSteps - step) * run.stepSeconds)}`,
    ...(run.validationSeconds > 0 ? [`validations ${shown(run.validationSeconds)}`] : []),
  ];
  return [
    `network: ${config.network.kind}, ${number(network.parameters)} trained numbers, ${number(network.frozen)} frozen, ${(network.multiplyAdds / 1e6).toFixed(1)} million multiply-adds an image`,
    `data: ${number(trainImages)} training images, ${validated}`,
    `steps: ${number(stepsPerEpoch)} an epoch of batch ${run.ranks === 1 ? '' : `${run.ranks} × `}${config.batch}, ${number(totalSteps)} in ${epochs} epochs${step === 0 ? '' : `, of which ${number(step)} are done`}`,
    `a step: ${shown(run.stepSeconds)}, the median of ${run.measuredSteps}; the slowest ${shown(run.slowestStepSeconds)}, the very first ${shown(run.firstStepSeconds)}; ${percent(run.waiting)} of the time waiting for images`,
    ...(run.ranks === 1
      ? []
      : [
          `ranks: ${run.ranks}; each exchanges ${bytesText(run.exchanged.bytesPerStep)} a step, ${percent(run.exchanged.moving)} of the time moving them and ${percent(run.exchanged.waiting)} waiting for the others`,
        ]),
    `time: ${shown(run.totalSeconds)} (${parts.join(', ')}); without maps, alignment and checkpoints`,
    `end: ${new Date(now.getTime() + 1000 * run.totalSeconds).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })}, if it starts now`,
    `memory: ${bytesText(run.peakBytes)} at most in these steps, ${bytesText(run.freeBytes)} free now; counted ${bytesText(network.memory.training)} (see ${codaCommand()} info)`,
    ...(run.featureBytes > 0 ? [`features: ${bytesText(run.featureBytes)} more, in memory, or on the disk of --feature-cache`] : []),
    `disk: ${bytesText(run.diskBytes)} in ${out}: three checkpoints of ${bytesText(run.checkpointBytes)} while one is written, and two models`,
    'nothing was written.',
  ];
}
