/** A training that is interrupted while a step runs, as if Ctrl-C came. */
import { train, type TrainOptions, type TrainResult } from '../src/index.ts';

/** Never where `stopAt` is no step of it. Notices come in the order in which they were told. */
export async function trainStoppedAt(
  stopAt: number,
  options: Omit<TrainOptions, 'signal' | 'onEvent'>,
): Promise<TrainResult & { readonly notices: readonly string[] }> {
  const stop = new AbortController();
  const notices: string[] = [];
  const result = await train({
    ...options,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.type === 'notice') notices.push(event.message);
      if (event.type === 'step' && event.step === stopAt) stop.abort();
    },
  });
  return { ...result, notices };
}
