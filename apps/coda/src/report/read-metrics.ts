/** The lines of a run's metrics.jsonl by what they tell. The last line of a run that was killed may be half a line. */
import { readFileBytes } from '@coda-nets/core/node';
import type { Alignment } from '@coda-nets/train';
import { join } from 'node:path';

/** A line of metrics is 200 bytes. */
const MAX_METRICS_BYTES = 2 ** 30;

interface StepLine {
  readonly step: number;
  readonly loss?: number;
  readonly learningRate?: number;
  readonly imagesPerSecond?: number;
}

interface EpochLine {
  readonly epoch: number;
  readonly trainLoss?: number;
  readonly trainAccuracy?: number;
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
  readonly alignment?: Alignment;
  readonly seconds?: number;
}

export interface MetricsLines {
  readonly steps: readonly StepLine[];
  readonly epochs: readonly EpochLine[];
  readonly explanations: readonly { readonly epoch: number; readonly residual: number }[];
  readonly bad: readonly { readonly file: string; readonly reason: string }[];
}

/** Nothing where there is no such file. */
export async function readMetrics(out: string): Promise<MetricsLines> {
  let text = '';
  try {
    text = new TextDecoder().decode(await readFileBytes(join(out, 'metrics.jsonl'), { maxBytes: MAX_METRICS_BYTES }));
  } catch {
    // there is no run, or it has not begun
  }
  const lines = text.split('\n').flatMap(parsed);
  const of = <T>(type: string): readonly T[] => lines.filter((line) => line.type === type) as unknown as readonly T[];
  return { steps: of('step'), epochs: of('epoch'), explanations: of('explanation'), bad: of('bad-image') };
}

/** None where the line is not whole. */
function parsed(line: string): { readonly type: string }[] {
  try {
    return [JSON.parse(line) as { readonly type: string }];
  } catch {
    return [];
  }
}
