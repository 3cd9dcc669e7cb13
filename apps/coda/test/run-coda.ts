/** Runs a command line in this process. */
import { vi } from 'vitest';
import { runCli } from '../src/index.ts';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What a training says on standard error where all goes well. */
export const beginnings = /^(reading .+ …\n)?(compiling the training step …\n)?$/;

/** Its exit code and what it said. */
export async function coda(...args: string[]): Promise<Said> {
  return heard(() => runCli(args));
}

/** The same with a Ctrl-C as soon as it says something that matches. */
export async function codaInterruptedAt(moment: RegExp, ...args: string[]): Promise<Said> {
  return heard(
    () => runCli(args),
    (text) => {
      if (moment.test(text)) process.emit('SIGINT');
    },
  );
}

/** What `run` writes, and the exit code it returns. */
export async function heard(run: () => Promise<number>, onText: (text: string) => void = () => undefined): Promise<Said> {
  const said = { out: '', err: '' };
  const listen = (stream: 'out' | 'err') => (text: unknown) => {
    said[stream] += String(text);
    onText(String(text));
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(listen('out')),
    vi.spyOn(process.stderr, 'write').mockImplementation(listen('err')),
  ];
  try {
    const code = await run();
    return { code, ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
