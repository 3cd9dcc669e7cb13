/** `coda merge` */
import type { Command } from 'commander';
import { mergedEvaluation, readEvaluation } from '../evaluation-file.ts';
import { defineCommand, ioOf, type CommonOptions } from '../define-command.ts';
import { tellEvaluation } from '../tell-evaluation.ts';

export function mergeCommand(): Command {
  return defineCommand(
    'merge',
    'joins the shares that `coda evaluate --shard` has written: the figures of one process, bit for bit',
    'merge parts/*.json',
  )
    .argument('<file...>', 'the files of all shares')
    .action(async (paths: string[], options: CommonOptions) => {
      const io = ioOf(options);
      const files = await Promise.all(paths.map(async (path) => ({ path, ...(await readEvaluation(path)) })));
      tellEvaluation(io, mergedEvaluation(files), { shares: files.length });
    });
}
