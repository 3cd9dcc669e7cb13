/** What all commands have in common: `--json`, `--engine`, `--seed`, an example, and where errors go. */
import { CodaError } from '@coda-nets/core';
import { resolveEngine, type ResolvedEngine } from '@coda-nets/engine';
import { Command, InvalidArgumentError } from 'commander';
import { codaCommand } from './coda-command.ts';
import { commandIo, type CommandIo } from './command-io.ts';

export interface CommonOptions {
  readonly json?: true;
  readonly engine?: string;
  readonly seed: number;
}

/** `example`: a call, without the word `coda` before it. */
export function defineCommand(name: string, description: string, example: string): Command {
  return new Command(name)
    .description(description)
    .option('--json', 'print one JSON object on standard output, everything else on standard error')
    .option('--engine <name>', 'onnxruntime, tensorflow, wasm, cpu, webgpu or tfjs-webgpu (default: the fastest there is)')
    .option('--seed <n>', 'seed of everything random', wholeNumber(0), 0)
    .addHelpText('after', `\nExample:\n  ${codaCommand()} ${example}`);
}

/** Parses an option that is an integer of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(n) || n < least) {
      throw new InvalidArgumentError(`Expected an integer of at least ${least}.`);
    }
    return n;
  };
}

/** Parses an option that is a number above zero. */
export function positiveNumber(text: string): number {
  const x = Number(text);
  if (!Number.isFinite(x) || x <= 0) throw new InvalidArgumentError('Expected a number above 0.');
  return x;
}

/** Options as the names between commas. */
export function nameList(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

export function ioOf(options: CommonOptions): CommandIo {
  return commandIo(options.json === true);
}

/** Opens the engine a command asks for, and says which and why. */
export async function engineOf(options: CommonOptions, io: CommandIo, threads?: number): Promise<ResolvedEngine['engine']> {
  const { engine, reason } = await resolveEngine(options.engine, threads === undefined ? {} : { threads });
  io.say(`engine: ${engine.name} (${engine.description}), ${reason}`);
  return engine;
}

/** An option whose value is one of a few words. */
export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => {
    if (!(words as readonly string[]).includes(text)) throw new InvalidArgumentError(`Expected ${words.join(' or ')}.`);
    return text as T;
  };
}

export function usageError(where: string, problem: string, expected?: string): CodaError {
  return new CodaError({ kind: 'argument', where, problem, expected });
}
