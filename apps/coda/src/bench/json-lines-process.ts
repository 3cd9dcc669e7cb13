/** Talks to a child process in lines of JSON: one asks on its standard input, one answers on its standard output. Knows nothing of what is asked. */
import { CodaError } from '@coda-nets/core';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Of standard error, which explains why a child ended. */
const KEPT_CHARACTERS = 2000;

export interface JsonLinesProcess {
  /** Rejects with a CodaError where the child answers with an error, or has ended. One request at a time. */
  request<T>(op: string, args?: object): Promise<T>;
  /** Ends the child by closing its standard input. */
  close(): Promise<void>;
}

export function jsonLinesProcess(command: string, args: readonly string[]): JsonLinesProcess {
  // In this session, for the same priority: Linux gives a session its own. A child has to pass over the Ctrl-C that reaches it too, and is ended in order.
  const child = spawn(command, args, { stdio: 'pipe' });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-KEPT_CHARACTERS)));
  // a child that has ended answers nothing: told by `ended`, not by a broken pipe
  child.stdin.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(said.trim().split('\n').at(-1) || `exit ${signal ?? code}`));
  });
  let over = false;
  void ended.then(() => (over = true));
  const lines = createInterface({ input: child.stdout });
  const failure = (problem: string): CodaError => new CodaError({ kind: 'unavailable', where: [command, ...args].join(' '), problem });

  return {
    request: async (op, asked = {}) => {
      if (over) throw failure(`the process has ended: ${await ended}`);
      const line = once(lines, 'line');
      child.stdin.write(`${JSON.stringify({ op, args: asked })}\n`);
      const answer = await Promise.race([line, ended]);
      if (typeof answer === 'string') throw failure(`the process ended: ${answer}`);
      const { result, error } = JSON.parse(answer[0] as string) as { result: never; error?: string };
      if (error !== undefined) throw failure(`${op}: ${error}`);
      return result;
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
