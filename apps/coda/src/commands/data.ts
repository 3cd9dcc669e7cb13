/** `coda data fetch` */
import { fetchableNames, fetchCifar10 } from '@coda-nets/train';
import { CodaError, nearestName } from '@coda-nets/core';
import { Command } from 'commander';
import type { CommandIo } from '../command-io.ts';
import { defineCommand, ioOf, type CommonOptions } from '../define-command.ts';
import type { Progress } from '../progress.ts';

export function dataCommand(): Command {
  const fetch = defineCommand(
    'fetch',
    'fetches a data set into a cache, checks its hash, unpacks; a second call does nothing',
    'data fetch cifar10',
  )
    .argument('<name>', `data set: ${fetchableNames.join(', ')}`)
    .option('--to <dir>', 'folder to put it in (default: the cache of this machine)')
    .action(async (name: string, options: CommonOptions & { to?: string }) => {
      if (!fetchableNames.includes(name)) {
        const nearest = nearestName(name, fetchableNames);
        throw new CodaError({
          kind: 'argument',
          where: 'data fetch',
          problem: 'no data set of that name',
          expected: fetchableNames.join(', '),
          got: name,
          hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
        });
      }
      const io = ioOf(options);
      const result = await fetchWithProgress(io, options.to);
      io.say(`${name}: ${result.fetched ? `fetched from ${result.source}` : 'already there'}, ${result.folder}`);
      io.result(result);
    });
  return new Command('data').description('data sets').addCommand(fetch);
}

export async function fetchWithProgress(io: CommandIo, to?: string): ReturnType<typeof fetchCifar10> {
  let bar: Progress | undefined;
  let current = '';
  try {
    return await fetchCifar10({
      to,
      onProgress: ({ phase, source, done, total, message }) => {
        if (message !== undefined) io.say(message);
        if (phase !== 'download' && phase !== 'unpack') return;
        if (current !== `${phase} ${source}`) {
          bar?.stop();
          current = `${phase} ${source}`;
          const megabytes = phase === 'download';
          bar = io.progress(current, megabytes ? Math.ceil(total / 1e6) : total, megabytes ? 'MB' : 'files');
        }
        bar?.update(phase === 'download' ? Math.floor(done / 1e6) : done);
      },
    });
  } finally {
    bar?.stop();
  }
}
