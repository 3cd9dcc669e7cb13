/** `coda engines` */
import { listEngines } from '@coda-nets/engine';
import type { Command } from 'commander';
import { defineCommand, ioOf, type CommonOptions } from '../define-command.ts';

export function enginesCommand(): Command {
  return defineCommand('engines', 'which engines are here, on what device, and why the others are not', 'coda engines').action(
    async (options: CommonOptions) => {
      const io = ioOf(options);
      const engines = await listEngines();
      const chosen = engines.find(({ available }) => available)?.name;
      for (const { name, available, description } of engines) {
        io.say(`${name === chosen ? '*' : ' '} ${name.padEnd(12)} ${available ? '' : 'not here: '}${description}`);
      }
      io.say('* is used unless --engine says otherwise.');
      io.result({ engines, default: chosen });
    },
  );
}
