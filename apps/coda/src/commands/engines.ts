/** `coda engines` */
import { CodaError } from '@coda-nets/core';
import type { EngineStatus } from '@coda-nets/engine';
import { execFile } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { defineCommand, ioOf, type CommonOptions } from '../define-command.ts';

export function enginesCommand(): Command {
  return defineCommand('engines', 'which engines are here, on what device, and why the others are not', 'engines').action(
    async (options: CommonOptions) => {
      const io = ioOf(options);
      const engines = await enginesHere();
      const chosen = engines.find(({ available }) => available)?.name;
      for (const { name, available, description } of engines) {
        io.say(`${name === chosen ? '*' : ' '} ${name.padEnd(12)} ${available ? '' : 'not here: '}${description}`);
      }
      io.say('* is used unless --engine says otherwise.');
      io.result({ engines, default: chosen });
    },
  );
}

/** Looked for in a process of its own: graphics libraries write on standard error whatever they meet, past Node, and a broken driver ends the process. */
async function enginesHere(): Promise<readonly EngineStatus[]> {
  const child = fileURLToPath(new URL(`../list-engines-child${extname(fileURLToPath(import.meta.url))}`, import.meta.url));
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...process.execArgv, child]);
    if (process.env['CODA_DEBUG'] === '1') process.stderr.write(stderr);
    return JSON.parse(stdout) as readonly EngineStatus[];
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'engines',
      problem: `the process that looks for engines failed: ${(cause as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? String(cause)}`,
      cause,
    });
  }
}
