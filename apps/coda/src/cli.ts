/** The command line: every command, and what an error becomes. */
import { CodaError } from '@coda-nets/core';
import { Command, CommanderError } from 'commander';
import { asCalled } from './coda-command.ts';
import { benchCommand } from './commands/bench.ts';
import { dataCommand } from './commands/data.ts';
import { depthCommand } from './commands/depth.ts';
import { enginesCommand } from './commands/engines.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { explainCommand } from './commands/explain.ts';
import { exportCommand } from './commands/export.ts';
import { importCommand } from './commands/import.ts';
import { infoCommand } from './commands/info.ts';
import { mergeCommand } from './commands/merge.ts';
import { predictCommand } from './commands/predict.ts';
import { setupCommand } from './commands/setup.ts';
import { sweepCommand } from './commands/sweep.ts';
import { trainCommand } from './commands/train.ts';
import { verifyCommand } from './commands/verify.ts';
import { Interrupted } from './interrupted.ts';
import { projectVersion } from './project-version.ts';

/** Done, the work failed, the call was wrong. */
export type ExitCode = 0 | 1 | 2;

export function program(): Command {
  const coda = new Command('coda')
    .description('Networks that explain themselves: train, explain, export and verify hybrid ResNet + CoDA classifiers.')
    .version(projectVersion)
    // what stands behind a command is that command's: setup tensorflow has a --version of its own
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for the options)');
  for (const command of [
    dataCommand(),
    trainCommand(),
    sweepCommand(),
    evaluateCommand(),
    mergeCommand(),
    predictCommand(),
    explainCommand(),
    depthCommand(),
    exportCommand(),
    verifyCommand(),
    importCommand(),
    infoCommand(),
    enginesCommand(),
    setupCommand(),
    benchCommand(),
  ]) {
    coda.addCommand(command);
  }
  return coda;
}

/** Runs a command line without the two leading words of `process.argv`. Never throws. */
export async function runCli(args: readonly string[]): Promise<ExitCode> {
  const coda = program();
  forEachCommand(coda, (command) => command.exitOverride());
  try {
    await coda.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    // commander has said what was wrong, or printed the help it was asked for
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return error instanceof Interrupted ? 1 : reportError(error);
  }
}

/** One line, no stack trace, unless CODA_DEBUG=1. */
export function reportError(error: unknown): ExitCode {
  const debug = process.env['CODA_DEBUG'] === '1';
  if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  else process.stderr.write(`error: ${asCalled(error instanceof Error ? error.message : String(error))}\n`);
  if (!debug && !CodaError.isInstance(error)) {
    process.stderr.write('This is a defect of coda. CODA_DEBUG=1 shows where it happened.\n');
  }
  return CodaError.isInstance(error) && error.kind === 'argument' ? 2 : 1;
}

function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}
