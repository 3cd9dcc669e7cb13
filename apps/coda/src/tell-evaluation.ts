/** What `coda evaluate` and `coda merge` say of an evaluation. */
import type { Evaluation } from '@coda-nets/train';
import type { CommandIo } from './command-io.ts';

export function tellEvaluation(io: CommandIo, result: Evaluation & { readonly split: string }, beside: object): void {
  const { split, images, top1, top5, loss, imagesPerSecond, bad } = result;
  for (const { file, reason } of bad) io.say(`left out: ${file}: ${reason}`);
  io.say(
    `${split} split, ${images} images: top-1 ${(100 * top1).toFixed(2)} %, top-5 ${(100 * top5).toFixed(2)} %, loss ${loss.toFixed(4)}, ${imagesPerSecond.toFixed(0)} images/s`,
  );
  io.result({ ...result, ...beside });
}
