/** A JSON file that a person wrote: a config, a list of names. */
import { CodaError, type JsonObject, type JsonValue } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';

/** The longest are lists of a thousand class names. */
const MAX_BYTES = 10_000_000;

/** Throws a CodaError that begins with the path. */
export async function readJson(path: string): Promise<JsonValue> {
  const text = new TextDecoder().decode(await readFileBytes(path, { maxBytes: MAX_BYTES }));
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new CodaError({ kind: 'argument', where: path, problem: `not JSON: ${(cause as Error).message}`, cause });
  }
}

/** Whether the name is one of a config file, not of a preset. */
export function isConfigFile(name: string): boolean {
  return name.toLowerCase().endsWith('.json');
}

/** A config without its `$schema`, which is for editors. */
export async function readConfig(path: string): Promise<JsonObject> {
  const value = await readJson(path);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CodaError({
      kind: 'argument',
      where: path,
      problem: 'not a config',
      expected: 'a JSON object',
      got: Array.isArray(value) ? 'an array' : JSON.stringify(value).slice(0, 40),
    });
  }
  const { $schema: _, ...config } = value as JsonObject;
  return config;
}
