/** Where a command writes: results on standard output, everything else on standard error. With `--json` the result is one object. */
import { asCalled } from './coda-command.ts';
import { progressBar, type Progress } from './progress.ts';

export interface CommandIo {
  readonly json: boolean;
  /** A line for people; goes to standard error when the result is JSON. */
  say(line: string): void;
  /** What the command found out: printed as JSON with `--json`, else nothing, since `say` told it. */
  result(value: object): void;
  /** What begins now and may take seconds without a word; a line on standard error. */
  begin(what: string): void;
  progress(label: string, total: number, unit: string): Progress;
}

export function commandIo(json: boolean): CommandIo {
  const stream = json ? process.stderr : process.stdout;
  return {
    json,
    say: (line) => void stream.write(`${asCalled(line)}\n`),
    result: (value) => {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    begin: (what) => void process.stderr.write(`${what} …\n`),
    progress: (label, total, unit) => progressBar(label, total, unit),
  };
}
