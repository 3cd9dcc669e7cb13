/** Where a command writes: results on standard output, everything else on standard error. With `--json` the result is one object. */
import { progressBar, type Progress } from './progress.ts';

export interface CommandIo {
  readonly json: boolean;
  /** A line for people; goes to standard error when the result is JSON. */
  say(line: string): void;
  /** What the command found out: printed as JSON with `--json`, else nothing, since `say` told it. */
  result(value: object): void;
  progress(label: string, total: number, unit: string): Progress;
}

export function commandIo(json: boolean): CommandIo {
  const stream = json ? process.stderr : process.stdout;
  return {
    json,
    say: (line) => void stream.write(`${line}\n`),
    result: (value) => {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    progress: (label, total, unit) => progressBar(label, total, unit),
  };
}
